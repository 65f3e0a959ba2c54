"""Grids on boards: turned and recoloured as one grid at a time would be, and read back from an answer."""

from __future__ import annotations

import numpy as np
import pytest

from trm_cli.data.arc import transforms
from trm_cli.data.stream.boards import Grids, answered_grid, board_targets
from trm_cli.data.stream.rows import grid_row, picture_row, render_text, text_row
from trm_cli.data.stream.shape import StreamShape
from trm_cli.data.stream.vocabulary import FIRST_BYTE, FIRST_LABEL, START


def test_boards_hold_every_grid_under_its_own_augmentation() -> None:
    chance = np.random.default_rng(0)
    grids = [chance.integers(0, 10, chance.integers(1, 8, 2), dtype=np.uint8) for _ in range(60)]
    codes = chance.integers(0, transforms.CODES, 60)
    codes[:8] = np.arange(8) * (transforms.CODES // 8)
    symmetries, colours = transforms.decode(codes)
    sizes = np.array([grid.size for grid in grids])
    shapes = np.array([grid.shape for grid in grids])
    cells = np.concatenate([grid.reshape(-1) for grid in grids])
    laid, found = Grids(cells, np.cumsum(sizes) - sizes, shapes[:, 0], shapes[:, 1]).lay(9, symmetries, colours)
    targets = board_targets(laid, found)
    for number, grid in enumerate(grids):
        chosen = transforms.Transform(int(symmetries[number]), tuple(colours[number].tolist()))
        expected = transforms.augment_grid(grid, chosen)
        height, width = found[number].tolist()
        assert (height, width) == expected.shape
        assert np.array_equal(laid[number, :height, :width], expected + 1)
        assert np.count_nonzero(laid[number]) == expected.size
        assert np.array_equal(answered_grid(targets[number].reshape(-1), 9), expected)


def test_a_grid_of_one_row() -> None:
    shape = StreamShape(side=5, demonstrations=2)
    pair = (np.array([[1, 2]], np.uint8), np.array([[3]], np.uint8))
    large = (np.zeros((6, 6), np.uint8), np.zeros((1, 1), np.uint8))
    row = grid_row(shape, *pair, [large, pair, pair, pair], identifier=4)
    assert row["cells"][0].reshape(5, 5)[0].tolist() == [2, 3, 0, 0, 0] and row["size"].tolist() == [[1, 2, 1, 1]]
    assert np.array_equal(answered_grid(row["target"][0], 5), pair[1]) and row["puzzle_identifiers"].tolist() == [4]
    assert row["pair_size"].tolist() == [[[1, 2, 1, 1]] * 2]
    assert row["pair_cells"][0, 1].reshape(2, 5, 5)[:, 0, :2].tolist() == [[2, 3], [4, 0]]
    assert (grid_row(shape, pair[0])["target"] == -100).all()
    with pytest.raises(ValueError, match="6x6 cells does not fit a board of 5x5"):
        grid_row(shape, *large)


def test_a_text_and_a_picture_of_one_row() -> None:
    shape = StreamShape(text_window=6, picture=(1, 8), labels=("cat", "dog"))
    assert text_row(shape, b"abc")["text"][0].tolist() == [START, *(byte + FIRST_BYTE for byte in b"abc"), 0, 0]
    assert render_text(text_row(shape, b"abcdefgh")["text"][0]) == b"cdefgh"
    row = picture_row(shape, np.full((1, 8, 8), 7, np.uint8), label=1)
    assert row["picture"].shape == (1, 1, 8, 8) and row["target"][0, 0] == FIRST_LABEL + 1 and row["kind"] == [2]
