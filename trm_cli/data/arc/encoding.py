"""Encode batches of ARC grids as rows of tokens, measure their sides and crop them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.arc.layout import COLOUR_OFFSET, EOS, SIDE

#: One grid of colours 0..9: [H, W].
Grid: TypeAlias = NDArray[np.uint8]
Bytes: TypeAlias = NDArray[np.uint8]


def encode_grids(grids: Sequence[tuple[int, int, bytes]], side: int = SIDE) -> Bytes:
    """Encode grids (height, width, colours row by row), unshifted, on canvases of `side` by `side`: tokens [N, S]."""
    tokens = np.zeros((len(grids), side, side), dtype=np.uint8)
    for target, (height, width, cells) in zip(tokens, grids, strict=True):
        target[:height, :width] = np.frombuffer(cells, dtype=np.uint8).reshape(height, width) + COLOUR_OFFSET
        if height < side:
            target[height, :width] = EOS
        if width < side:
            target[:height, width] = EOS
    return tokens.reshape(len(grids), side * side)


def grid_sides(tokens: Bytes) -> Bytes:
    """Height and width [N, 2] of unshifted encoded grids [N, S]."""
    from trm_cli.data.arc import kernels  # numba takes half a second to load, and names need none of it

    sides = np.empty((len(tokens), 2), dtype=np.uint8)
    kernels.grid_sides(tokens, sides)
    return sides


def crop(tokens: NDArray[np.integer]) -> NDArray[np.int64]:
    """Height and width [N, 2] of the largest all-colour rectangle from the top left of tokens [N, S]."""
    from trm_cli.data.arc import kernels

    sides = np.empty((len(tokens), 2), dtype=np.int64)
    kernels.crop_sides(tokens, sides)
    return sides


def iterate_grids(cells: Bytes, sides: NDArray[np.int64]) -> Iterator[Bytes]:
    """The grids [H, W] of `invert_predictions`, one by one."""
    for row, (height, width) in zip(cells, sides, strict=True):
        yield row[: height * width].reshape(height, width)
