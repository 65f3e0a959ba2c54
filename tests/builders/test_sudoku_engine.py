from __future__ import annotations

import subprocess
import sys
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest

from dataset_builders.lib.sudoku import engine as engine
from trm_cli.data import counter_rng
from trm_cli.data.augmentation.sudoku import SudokuAugmentation

pytestmark = pytest.mark.usefixtures("compiled")

ANY_RATING = (0, 2**30)


def generate(box: tuple[int, int], count: int, clues: tuple[int, int], *, test: bool = False, seed: int = 0):
    keys = counter_rng.keys(seed, "test", np.arange(count))
    return engine.generate(engine.make_board(*box), keys, clues, ANY_RATING, test, 2000)


def solutions_of(puzzle: list[int], rows: int, columns: int, limit: int) -> list[list[int]]:
    """All solutions, up to `limit`, by plain backtracking over sets: independent of the engine."""
    side = rows * columns

    def process_group(cell: int) -> set[int]:
        y, x = divmod(cell, side)
        same = {y * side + k for k in range(side)} | {k * side + x for k in range(side)}
        top, left = y // rows * rows, x // columns * columns
        return same | {(top + i) * side + left + j for i in range(rows) for j in range(columns)}

    neighbours = [process_group(cell) - {cell} for cell in range(side * side)]
    board, found = list(puzzle), []

    def visit() -> None:
        free = [
            (side - len(seen), cell, seen)
            for cell, value in enumerate(board)
            if not value
            for seen in [{board[other] for other in neighbours[cell]} - {0}]
        ]
        if not free:
            found.append(list(board))
            return
        _, cell, seen = min(free, key=lambda item: item[:2])
        for digit in range(1, side + 1):
            if digit not in seen and len(found) < limit:
                board[cell] = digit
                visit()
        board[cell] = 0

    visit()
    return found


@pytest.mark.parametrize(("box", "clues"), [((2, 2), (5, 6)), ((2, 3), (0, 0)), ((3, 2), (14, 14)), ((3, 3), (0, 0))])
def test_generated_puzzles_have_the_one_solution(box: tuple[int, int], clues: tuple[int, int]) -> None:
    puzzles, solutions, ratings, made = generate(box, 12, clues)
    assert made.all()
    assert (ratings >= 0).all()
    board = engine.make_board(*box)
    for puzzle, solution in zip(puzzles.tolist(), solutions.tolist(), strict=True):
        assert solutions_of(puzzle, *box, limit=2) == [solution]
        found, _, own = engine.solve(board, np.array(puzzle))
        assert (found, own.tolist()) == (1, solution)
        shown = sum(value != 0 for value in puzzle)
        if clues != (0, 0):
            assert clues[0] <= shown <= clues[1]
            continue
        for cell in np.flatnonzero(puzzle)[::3]:
            fewer = [0 if index == cell else value for index, value in enumerate(puzzle)]
            assert engine.solve(board, np.array(fewer))[0] == 2, "every clue of a minimal puzzle is needed"


def test_solver_counts_solutions_like_the_reference() -> None:
    rng = np.random.default_rng(0)
    for box in ((2, 2), (2, 3)):
        board = engine.make_board(*box)
        _, solutions, _, _ = generate(box, 20, (10, 10))
        for solution in solutions:
            puzzle = np.where(rng.random(len(solution)) < 0.3, solution, 0)
            if rng.random() < 0.3:
                puzzle[rng.integers(len(puzzle))] = rng.integers(1, board.side + 1)  # often a contradiction
            expected = len(solutions_of(puzzle.tolist(), *box, limit=2))
            assert engine.solve(board, puzzle)[0] == expected


def test_rating_counts_guesses() -> None:
    board = engine.make_board(3, 3)
    singles = "530070000600195000098000060800060003400803001700020006060000280000419005000080079"
    hard = "800000000003600000070090200050007000000045700000100030001000068008500010090000400"
    assert engine.solve(board, np.array([int(c) for c in singles]))[:2] == (1, 0)
    found, guesses, _ = engine.solve(board, np.array([int(c) for c in hard]))
    assert found == 1
    assert guesses > 5


def test_a_puzzle_depends_on_its_own_key_alone() -> None:
    board = engine.make_board(3, 3)
    keys = counter_rng.keys(0, "test", np.arange(20))
    whole = engine.generate(board, keys, (24, 28), (1, 10), False, 2000)
    part = engine.generate(board, keys[13:15], (24, 28), (1, 10), False, 2000)
    for both, own in zip(whole, part, strict=True):
        assert (both[13:15] == own).all()
    assert ((whole[2] >= 1) & (whole[2] <= 10)).all()


def test_what_cannot_be_made_is_said() -> None:
    keys = counter_rng.keys(0, "test", np.arange(2))
    assert not engine.generate(engine.make_board(2, 2), keys, (3, 3), ANY_RATING, False, 200)[3].any()


@pytest.mark.parametrize("box", [(2, 2), (2, 3), (3, 3)])
def test_symmetric_puzzles_have_one_class(box: tuple[int, int]) -> None:
    puzzles, solutions, _, _ = generate(box, 20, (0, 0))
    board = engine.make_board(*box)
    cells = board.side**2
    augmentation = SudokuAugmentation({"box": list(box), "count": 100, "seed": 0}, seq_len=cells)
    tokens, source = augmentation.transforms(np.repeat(np.arange(20), 50), np.tile(np.arange(50), 20))
    rows = np.arange(1000)[:, None]
    turned = [tokens[rows, np.repeat(values, 50, axis=0)[rows, source] + 1] - 1 for values in (puzzles, solutions)]
    hashes = engine.class_hashes(board, *turned).reshape(20, 50)
    assert (hashes == hashes[:, :1]).all()
    if box != (2, 2):  # there, 20 puzzles do fall into the same few classes
        assert len(np.unique(hashes)) == 20


def test_classes_of_4x4_are_exactly_the_symmetry_classes() -> None:
    lines = [
        [block * 2 + line for block, order in zip(blocks, orders, strict=True) for line in order]
        for blocks in permutations(range(2))
        for orders in product(permutations(range(2)), repeat=2)
    ]
    grid = np.arange(16).reshape(4, 4)
    moves = np.array([
        board[np.ix_(rows, columns)].ravel() for board in (grid, grid.T) for rows in lines for columns in lines
    ])  # fmt: skip

    def canonical(puzzle: np.ndarray) -> tuple[int, ...]:
        """The least of all forms, digits renamed in the order in which they appear."""
        forms = []
        for form in puzzle[moves]:
            names: dict[int, int] = {0: 0}
            forms.append(tuple(names.setdefault(int(value), len(names)) for value in form))
        return min(forms)

    puzzles, solutions, _, _ = generate((2, 2), 400, (5, 5))
    hashes = engine.class_hashes(engine.make_board(2, 2), puzzles, solutions)
    forms = [canonical(puzzle) for puzzle in puzzles]
    assert len(set(forms)) == len(set(hashes.tolist())) == len(set(zip(forms, hashes.tolist(), strict=True)))
    assert len(set(forms)) > 30


def test_the_splits_share_no_class() -> None:
    for box, clues in (((2, 2), (6, 6)), ((2, 3), (12, 12))):
        board = engine.make_board(*box)
        classes = [
            set(engine.class_hashes(board, *generate(box, 300, clues, test=test, seed=seed)[:2]).tolist())
            for test, seed in ((False, 0), (True, 1))
        ]
        assert classes[0].isdisjoint(classes[1])


def test_builders_work_where_nothing_can_be_cached() -> None:
    """A read-only installation and no writable home: numba finds no place for its machine code."""
    code = """
from numba.core import caching
for kind in vars(caching).values():
    if isinstance(kind, type) and "_locator_classes" in vars(kind):
        kind._locator_classes = []
import dataset_builders.lib.maze.engine, dataset_builders.lib.sudoku.engine
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("compiled in every process") == 1, "said once"
