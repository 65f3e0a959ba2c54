from __future__ import annotations

import math

import numpy as np
import pytest

from trm_cli.data.augmentation.drawing import Draw
from trm_cli.data.augmentation.sudoku import SudokuAugmentation
from trm_cli.data.puzzles.kinds import create_augmentation
from trm_cli.errors import DatasetError

BOXES = [(2, 2), (2, 3), (3, 2), (3, 3), (2, 5), (4, 4)]


def solved_board(rows: int, columns: int) -> np.ndarray:
    """A valid board of boxes rows x columns, digits 1..N, [N*N]."""
    side = rows * columns
    y, x = np.divmod(np.arange(side * side), side)
    return (y % rows * columns + y // rows + x) % side + 1


def is_solved(board: np.ndarray, rows: int, columns: int) -> bool:
    side = rows * columns
    grid = board.reshape(side, side)
    boxes = grid.reshape(columns, rows, rows, columns).swapaxes(1, 2).reshape(side, side)
    digits = np.arange(1, side + 1)
    return all((np.sort(unit) == digits).all() for units in (grid, grid.T, boxes) for unit in units)


def make(box: tuple[int, int], count: int = 1000, seed: int = 0) -> SudokuAugmentation:
    return SudokuAugmentation({"box": list(box), "count": count, "seed": seed}, seq_len=(box[0] * box[1]) ** 2)


def draw(box: tuple[int, int], puzzles: np.ndarray, variants: np.ndarray) -> tuple[Draw, np.ndarray, np.ndarray]:
    board = solved_board(*box)
    blank = np.random.default_rng(0).random(len(board)) < 0.6
    labels = np.tile(board + 1, (len(puzzles), 1)).astype(np.uint8)
    inputs = np.where(blank, 1, labels).astype(np.uint8)
    wanted = Draw(inputs, labels, np.zeros(len(puzzles), np.int64), puzzles, puzzles, variants, 0, 0, 0)
    return wanted, inputs, labels


@pytest.mark.parametrize("box", BOXES)
def test_augmented_boards_are_boards_and_their_clues_agree(box: tuple[int, int]) -> None:
    wanted, before, _ = draw(box, np.arange(200) // 10, np.arange(200) % 10)
    inputs, labels, _ = make(box).apply(wanted)
    assert all(is_solved(row.astype(int) - 1, *box) for row in labels)
    assert ((inputs == 1) | (inputs == labels)).all()
    assert ((inputs == 1).sum(axis=1) == (before == 1).sum(axis=1)).all()
    assert len(np.unique(labels, axis=0)) > 100


def test_index_0_is_the_puzzle_itself() -> None:
    wanted, before, after = draw((3, 3), np.arange(50), np.zeros(50, np.int64))
    inputs, labels, _ = make((3, 3)).apply(wanted)
    assert (inputs == before).all()
    assert (labels == after).all()
    assert make((3, 3), count=7).variant_counts(3).tolist() == [8, 8, 8]


def test_an_augmentation_depends_on_seed_puzzle_and_index_alone() -> None:
    wanted, _, _ = draw((3, 3), np.array([5, 5, 6, 5]), np.array([3, 4, 3, 3]))
    _, labels, _ = make((3, 3)).apply(wanted)
    assert (labels[0] == labels[3]).all()
    assert (labels[0] != labels[1]).any()
    assert (labels[0] != labels[2]).any()
    alone, _, _ = draw((3, 3), np.array([5]), np.array([3]))
    assert (make((3, 3)).apply(alone)[1][0] == labels[0]).all()
    assert (make((3, 3), seed=1).apply(alone)[1][0] != labels[0]).any()


@pytest.mark.parametrize(("box", "cells"), [((2, 2), 128), ((1, 3), 36), ((3, 1), 36), ((2, 3), 3456)])
def test_every_symmetry_comes_up_equally_often(box: tuple[int, int], cells: int) -> None:
    # 2x2: 2 transpositions x (2 * 2 * 2) orders of rows, squared. 2x3: 3! * 2!**3 * 2! * 3!**2, no transposition.
    count = cells * 40
    tokens, sources = make(box).transforms(np.zeros(count, np.int64), np.arange(1, count + 1))
    _, counts = np.unique(sources, axis=0, return_counts=True)
    assert len(counts) == cells
    assert (((counts - 40) ** 2 / 40).sum() - cells) / math.sqrt(2 * cells) < 6
    side = box[0] * box[1]
    assert (tokens[:, :2] == [0, 1]).all()
    _, counts = np.unique(tokens, axis=0, return_counts=True)
    assert len(counts) == math.factorial(side)
    assert (((counts - counts.mean()) ** 2 / counts.mean()).sum() - len(counts)) / math.sqrt(2 * len(counts)) < 6


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "sudoku"},
        {"kind": "sudoku", "box": [2, 2, 2], "count": 1, "seed": 0},
        {"kind": "sudoku", "box": [2, 3], "count": 1, "seed": 0},
        {"kind": "sudoku", "box": [2, 2], "count": -1, "seed": 0},
        {"kind": "sudoku", "box": [2, 2], "count": True, "seed": 0},
        {"kind": "sudoku", "box": [2, 2], "count": 1, "seed": "0"},
        {"kind": 3},
    ],
)
def test_damaged_settings_are_named(settings: dict[str, object]) -> None:
    with pytest.raises(DatasetError, match="somewhere"):
        create_augmentation(settings, seq_len=16, where="somewhere")
