"""Count the solutions of a Sudoku by search, within a limit: what a puzzle allows, apart from what a network says."""

from __future__ import annotations

from collections.abc import Sequence

from trm_cli.data.puzzles.sudoku_text import units

MOST_TRIED = 20_000  # digits that are tried: well below a second


def count_solutions(puzzle: Sequence[int], box: tuple[int, int], most: int = 2) -> int | None:
    """How many solutions a puzzle of tokens has, counted up to `most`; None where the limit ended the search."""
    side = box[0] * box[1]
    members = units(box)
    of_cell = [[number for number, unit in enumerate(members) if cell in unit] for cell in range(side * side)]
    free = [(1 << side) - 1] * len(members)  # of each unit, one bit a digit
    for cell, token in enumerate(puzzle):
        if token > 1:
            bit = 1 << (token - 2)
            if any(not free[unit] & bit for unit in of_cell[cell]):
                return 0
            for unit in of_cell[cell]:
                free[unit] ^= bit
    blanks = [cell for cell, token in enumerate(puzzle) if token <= 1]
    found = tried = 0

    def candidates(cell: int) -> int:
        bits = (1 << side) - 1
        for unit in of_cell[cell]:
            bits &= free[unit]
        return bits

    def search() -> bool:
        """Fill the blanks that are left; False where the search shall end."""
        nonlocal found, tried
        if not blanks:
            found += 1
            return found < most
        place = min(range(len(blanks)), key=lambda index: candidates(blanks[index]).bit_count())
        cell = blanks.pop(place)
        bits, goes_on = candidates(cell), True
        while bits and goes_on:
            bit = bits & -bits
            bits ^= bit
            tried += 1
            for unit in of_cell[cell]:
                free[unit] ^= bit
            goes_on = tried < MOST_TRIED and search()
            for unit in of_cell[cell]:
                free[unit] ^= bit
        blanks.insert(place, cell)
        return goes_on

    search()
    return None if found < most and tried >= MOST_TRIED else found
