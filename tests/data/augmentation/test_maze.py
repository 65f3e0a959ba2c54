"""The eight symmetries of a maze: exact inverses, input and label alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm_cli.data import dihedral
from trm_cli.data.augmentation.maze import MazeAugmentation, symmetry_cells, transform


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_inverse(side: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, symmetries = rng.integers(1, 6, (20, side * side), dtype=np.uint8), rng.integers(0, 8, 20)
    cells = symmetry_cells(side * side)
    inverse = np.asarray(dihedral.INVERSE)[symmetries]
    assert np.array_equal(transform(transform(rows, cells, symmetries), cells, inverse), rows)


def test_symmetries_are_eight_different_ones_of_numpy() -> None:
    board = np.arange(9).reshape(3, 3)
    cells = symmetry_cells(9)
    images = {tuple(transform(board.reshape(1, 9), cells, np.array([k]))[0]) for k in range(8)}
    turns = [np.rot90(board, k) for k in range(4)]
    assert images == {tuple(image.ravel()) for turn in turns for image in (turn, np.fliplr(turn))}


@pytest.mark.parametrize("count", [-1, 8, "7", None])
def test_damaged_settings_are_refused(count: object) -> None:
    with pytest.raises(ValueError):
        MazeAugmentation({"count": count}, seq_len=9)
    with pytest.raises(ValueError):
        MazeAugmentation({"count": 7}, seq_len=8)
