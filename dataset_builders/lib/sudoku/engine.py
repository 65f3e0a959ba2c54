"""Solve, rate and generate Sudoku puzzles in compiled loops, and detect symmetric duplicates.

Boards have boxes of r rows and c columns and N = r*c <= 16 digits; a cell holds 0 (blank) or a digit 1..N.
Everything is integer arithmetic on arguments: no global state, no global random numbers, no interpreter lock.
Arrays are copied by `_copy`: for `target[:] = source` numba compiles a message about shapes too, which takes seconds.

One file on purpose: numba's cache on disk looks at the file of the function that is called, so a change to a callee in
another file would go unnoticed and the old machine code would run.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.numba_jit import compiled_loop

MINIMAL = 0  # as a clue count: remove clues until every one that is left is needed

_CONTRADICTION, _SOLVED = -1, -2  # what propagation finds; otherwise the cell to branch on
_U0, _U1 = np.uint64(0), np.uint64(1)
_S27, _S30, _S31, _S32, _S62 = (np.uint64(shift) for shift in (27, 30, 31, 32, 62))
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)

Cells = NDArray[np.int64]


class Board(NamedTuple):
    """The geometry of a board."""

    side: int
    square: bool  # boxes as high as wide, so that transposition is a symmetry
    units: Cells  # [3, N * N] row, column and box of each cell
    members: Cells  # [3N, N] cells of each row, column and box


def make_board(rows: int, columns: int) -> Board:
    """Return the geometry of boards with boxes of `rows` x `columns`."""
    side = rows * columns
    y, x = np.divmod(np.arange(side * side), side)
    units = np.stack([y, x, y // rows * rows + x // columns])
    members = np.stack([np.flatnonzero(unit == index) for unit in units for index in range(side)])
    return Board(side, rows == columns, units, members)


# ---------------------------------------------------------------- random numbers inside compiled code


@compiled_loop
def _mix(value):  # type: ignore[no-untyped-def]  # compiled: types are inferred
    value = (value ^ (value >> _S30)) * _MIX_1
    value = (value ^ (value >> _S27)) * _MIX_2
    return value ^ (value >> _S31)


@compiled_loop
def _below(state, bound):  # type: ignore[no-untyped-def]
    """Draw an integer in [0, bound) and advance `state` (uint64 [1]): SplitMix64."""
    state[0] += _GOLDEN
    return np.int64(((_mix(state[0]) >> _S32) * np.uint64(bound)) >> _S32)


@compiled_loop
def _copy(source, target):  # type: ignore[no-untyped-def]
    for index in range(len(source)):
        target[index] = source[index]


@compiled_loop
def _shuffle(order, state):  # type: ignore[no-untyped-def]
    for index in range(len(order) - 1, 0, -1):
        other = _below(state, index + 1)
        order[index], order[other] = order[other], order[index]


# ---------------------------------------------------------------- solving


@compiled_loop
def _place(grid, used, units, cell, bit):  # type: ignore[no-untyped-def]
    grid[cell] = bit
    for kind in range(3):
        used[kind, units[kind, cell]] |= bit


@compiled_loop
def _candidates(used, units, cell, full):  # type: ignore[no-untyped-def]
    return full & ~(used[0, units[0, cell]] | used[1, units[1, cell]] | used[2, units[2, cell]])


@compiled_loop
def _naked_singles(grid, used, units, full):  # type: ignore[no-untyped-def]
    """Fill cells with one candidate until there are none; return the cell with the fewest, or the outcome."""
    placed = True
    best = _SOLVED
    while placed:
        placed = False
        best, fewest = _SOLVED, 99
        for cell in range(len(grid)):
            if grid[cell] != 0:
                continue
            mask = _candidates(used, units, cell, full)
            if mask == 0:
                return _CONTRADICTION
            if mask & (mask - 1) == 0:
                _place(grid, used, units, cell, mask)
                placed = True
                continue
            count = 0
            while mask != 0 and count < fewest:
                mask &= mask - 1
                count += 1
            if count < fewest:
                best, fewest = cell, count
    return best


@compiled_loop
def _hidden_singles(grid, used, board, full):  # type: ignore[no-untyped-def]
    """Fill cells that are the only place of a digit in a unit: 1 if any, 0 if none, or a contradiction."""
    found = 0
    for unit in range(len(board.members)):
        once = twice = present = 0
        for cell in board.members[unit]:
            if grid[cell] != 0:
                present |= grid[cell]
                continue
            mask = _candidates(used, board.units, cell, full)
            twice |= once & mask
            once |= mask
        if once | present != full:
            return _CONTRADICTION
        single = once & ~twice
        if single == 0:
            continue
        for cell in board.members[unit]:
            if grid[cell] == 0:
                mask = _candidates(used, board.units, cell, full) & single
                if mask & (mask - 1) != 0:
                    return _CONTRADICTION
                if mask != 0:
                    _place(grid, used, board.units, cell, mask)
                    found = 1
    return found


@compiled_loop
def _propagate(grid, used, board, full):  # type: ignore[no-untyped-def]
    while True:
        best = _naked_singles(grid, used, board.units, full)
        if best < 0:
            return best
        found = _hidden_singles(grid, used, board, full)
        if found < 0:
            return _CONTRADICTION
        if found == 0:
            return best


@compiled_loop
def _write_digits(grid, solution):  # type: ignore[no-untyped-def]
    """Turn cells as bits into digits."""
    for cell in range(len(grid)):
        value, bit = 0, grid[cell]
        while bit != 0:
            bit >>= 1
            value += 1
        solution[cell] = value


@compiled_loop
def _random_bit(mask, state):  # type: ignore[no-untyped-def]
    """Choose one of the bits that are set."""
    count, rest = 0, mask
    while rest != 0:
        rest &= rest - 1
        count += 1
    for _ in range(_below(state, count)):
        mask &= mask - 1
    return mask & -mask


@compiled_loop
def search(board, puzzle, limit, most_guesses, state, solution):  # type: ignore[no-untyped-def]
    """Look for up to `limit` solutions of a puzzle (digits, [N*N]); return (solutions found, guesses).

    Singles are filled first; then a candidate of the cell with the fewest is tried. A try is a guess where another
    candidate was still left. The first solution goes to `solution`. With a `state` (uint64 [1], not zero) candidates
    are tried in random order, otherwise in rising order. Gives up, with (-1, guesses), after `most_guesses`.
    """
    side, size = board.side, board.side * board.side
    full = (1 << side) - 1
    grids = np.zeros((size + 1, size), np.int64)  # one row per depth, cells as bits
    used = np.zeros((size + 1, 3, side), np.int64)
    cells = np.zeros(size + 1, np.int64)
    masks = np.zeros(size + 1, np.int64)
    for cell in range(size):
        if puzzle[cell] != 0:
            bit = 1 << (np.int64(puzzle[cell]) - 1)
            if _candidates(used[0], board.units, cell, full) & bit == 0:
                return 0, 0
            _place(grids[0], used[0], board.units, cell, bit)
    found = guesses = depth = 0
    outcome = _propagate(grids[0], used[0], board, full)
    while True:
        if outcome >= 0:
            cells[depth] = outcome
            masks[depth] = _candidates(used[depth], board.units, outcome, full)
        else:
            if outcome == _SOLVED:
                if found == 0:
                    _write_digits(grids[depth], solution)
                found += 1
                if found >= limit:
                    return found, guesses
            depth -= 1
            while depth >= 0 and masks[depth] == 0:
                depth -= 1
            if depth < 0:
                return found, guesses
        mask = masks[depth]
        bit = mask & -mask
        if state[0] != _U0:
            bit = _random_bit(mask, state)
        masks[depth] &= ~bit
        if masks[depth] != 0:
            guesses += 1
            if guesses > most_guesses:
                return -1, guesses
        _copy(grids[depth], grids[depth + 1])
        for kind in range(3):
            _copy(used[depth, kind], used[depth + 1, kind])
        _place(grids[depth + 1], used[depth + 1], board.units, cells[depth], bit)
        depth += 1
        outcome = _propagate(grids[depth], used[depth], board, full)


# Of numpy's type: numba compiles a function once more for each plain number that it is called with.
_ONE, _TWO = np.int64(1), np.int64(2)
_FEW, _SOME, _MANY = np.int64(200), np.int64(10_000), np.int64(1 << 62)  # guesses until a search gives up


@compiled_loop
def solve(board, puzzle):  # type: ignore[no-untyped-def]
    """Return (solutions counted up to 2, guesses to the first one, the first one [N*N])."""
    fixed = np.zeros(1, np.uint64)
    digits, solution, other = np.zeros((3, len(puzzle)), np.int64)
    _copy(puzzle, digits)
    found, guesses = search(board, digits, _ONE, _MANY, fixed, solution)
    if found == 1:
        found, _ = search(board, digits, _TWO, _MANY, fixed, other)
    return found, guesses, solution


# ---------------------------------------------------------------- which puzzles are the same up to symmetry


@compiled_loop
def class_hash(board, puzzle, solution):  # type: ignore[no-untyped-def]
    """Return 64 bits that are equal for all symmetric forms of a puzzle.

    Colour refinement: a cell's colour starts as "clue or blank" and takes in, round after round, the sums of the
    colours of its row, its column (in no order where boards may be transposed), its box and the cells of its digit in
    the solution. Sums do not know an order, so every symmetry keeps the colours. Two puzzles that are no symmetries
    can in rare cases agree; then they merely go to the same split.
    """
    size, side = len(puzzle), board.side
    colours = np.empty(size, np.uint64)
    for cell in range(size):
        colours[cell] = _GOLDEN if puzzle[cell] != 0 else _MIX_1
    fresh = np.empty(size, np.uint64)
    sums = np.empty((4, side), np.uint64)
    for _ in range(5):
        sums[:] = _U0
        for cell in range(size):
            mixed = _mix(colours[cell])
            for kind in range(3):
                sums[kind, board.units[kind, cell]] += mixed
            sums[3, np.int64(solution[cell]) - 1] += mixed
        for cell in range(size):
            row = _mix(sums[0, board.units[0, cell]])
            column = _mix(sums[1, board.units[1, cell]])
            if not board.square:
                column = _mix(column + _MIX_2)
            box = _mix(sums[2, board.units[2, cell]] + _GOLDEN)
            digit = _mix(sums[3, np.int64(solution[cell]) - 1] + _MIX_1)
            fresh[cell] = _mix(colours[cell] * _MIX_2 + row + column + box * _MIX_1 + digit * _GOLDEN)
        colours, fresh = fresh, colours
    total = _U0
    for cell in range(size):
        total += _mix(colours[cell])
    return _mix(total)


@compiled_loop
def class_hashes(board, puzzles, solutions):  # type: ignore[no-untyped-def]
    """Return `class_hash` of many puzzles: uint64 [n] of [n, N*N]."""
    hashes = np.empty(len(puzzles), np.uint64)
    for index in range(len(puzzles)):
        hashes[index] = class_hash(board, puzzles[index], solutions[index])
    return hashes


@compiled_loop
def belongs_to_test(class_hash):  # type: ignore[no-untyped-def]
    """Return whether a class of puzzles is for testing: `held_out.is_test_class`, in this file for numba's cache."""
    return class_hash >> _S62 == _U0


# ---------------------------------------------------------------- generating


@compiled_loop
def _dig(board, solution, target, state):  # type: ignore[no-untyped-def]
    """Remove clues in random order while the solution stays unique, down to `target`; return (puzzle, clues)."""
    size = len(solution)
    puzzle, order = np.empty(size, np.int64), np.empty(size, np.int64)
    _copy(solution, puzzle)
    for place in range(size):
        order[place] = place
    _shuffle(order, state)
    fixed = np.zeros(1, np.uint64)
    scratch = np.zeros(size, np.int64)
    clues = size
    for cell in order:
        if clues <= target:
            break
        puzzle[cell] = 0
        found, _ = search(board, puzzle, _TWO, _SOME, fixed, scratch)
        if found == 1:
            clues -= 1
        else:
            puzzle[cell] = solution[cell]
    return puzzle, clues


@compiled_loop
def generate(board, keys, clues, ratings, for_test, attempts):  # type: ignore[no-untyped-def]
    """Make one puzzle per key (uint64 [n]); return (puzzles [n, N*N], solutions [n, N*N], ratings [n], made [n]).

    `clues` and `ratings` are (least, most), both included; clues (0, 0) means minimal puzzles. `for_test` chooses the
    classes of puzzles. A puzzle depends on its own key alone: attempts continue with the same random numbers until one
    fits; `made` is False from the first one on where `attempts` of them did not.
    """
    size = board.side * board.side
    puzzles = np.zeros((len(keys), size), np.uint8)
    solutions = np.zeros((len(keys), size), np.uint8)
    rated = np.zeros(len(keys), np.int32)
    made = np.zeros(len(keys), np.bool_)
    empty = np.zeros(size, np.int64)
    solution = np.zeros(size, np.int64)
    scratch = np.zeros(size, np.int64)
    fixed, state = np.zeros(1, np.uint64), np.zeros(1, np.uint64)
    for index in range(len(keys)):
        # Odd, so that it is never zero, which would mean "not random" to the search.
        state[0] = keys[index] | _U1
        for _ in range(attempts):
            found, _ = search(board, empty, _ONE, _FEW, state, solution)
            if found != 1:
                continue
            target = clues[0] + _below(state, clues[1] - clues[0] + 1)
            puzzle, left = _dig(board, solution, target, state)
            if clues[1] != MINIMAL and left > clues[1]:
                continue
            if belongs_to_test(class_hash(board, puzzle, solution)) != for_test:
                continue
            _, guesses = search(board, puzzle, _ONE, _MANY, fixed, scratch)
            if not ratings[0] <= guesses <= ratings[1]:
                continue
            _copy(puzzle, puzzles[index])
            _copy(solution, solutions[index])
            rated[index] = guesses
            made[index] = True
            break
        if not made[index]:
            break  # one failure is enough to know, and each costs all its attempts
    return puzzles, solutions, rated, made
