"""Lay grids on boards, whole batches at once, and read an answer off a board.

A board [side, side] holds a grid at its top left: 0 empty, 1..10 the colours 0..9. A target lies on the same cells:
colours, and end marks on the row below the answer and the column to its right, where the board has these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.data import dihedral
from trm_cli.data.arc.encoding import Grid
from trm_cli.data.files.metadata import IGNORED_LABEL
from trm_cli.data.stream.vocabulary import EOS, FIRST_BYTE, FIRST_COLOUR

Index = NDArray[np.int64]
Bytes = NDArray[np.uint8]

_SWAPS = np.array(dihedral.SWAPS_SIDES)


@dataclass(frozen=True)
class Grids:
    """Grids in one row of cells, colours 0..9: grid m is heights[m] x widths[m] cells from starts[m] on; all [M].

    A grid of no height or width is none.
    """

    cells: Bytes
    starts: Index
    heights: Index
    widths: Index

    def lay(self, side: int, symmetries: Bytes | None = None, colours: Bytes | None = None) -> tuple[Bytes, Bytes]:
        """Return boards [M, side, side] and the height and width of each [M, 2].

        symmetries [M] turn the grids, colours [M, 10] say what each colour becomes. Grids must fit.
        """
        if symmetries is None:
            symmetries = np.zeros(len(self.starts), np.uint8)
        base, down, right = (np.zeros(len(self.starts), np.int64) for _ in range(3))
        for symmetry in range(dihedral.COUNT):
            rows = np.flatnonzero(symmetries == symmetry)
            height: Any = self.heights[rows]  # the formulas hold for arrays as well
            width: Any = self.widths[rows]
            base[rows], down[rows], right[rows] = dihedral.affine(symmetry, height, width, width)
        swap = _SWAPS[symmetries]
        heights, widths = np.where(swap, self.widths, self.heights), np.where(swap, self.heights, self.widths)
        row, column = np.arange(side)[:, None], np.arange(side)
        inside = (row < heights[:, None, None]) & (column < widths[:, None, None])
        first, down, right = ((self.starts + base)[:, None, None], down[:, None, None], right[:, None, None])
        places = np.where(inside, first + row * down + column * right, 0)
        found = self.cells[places] if len(self.cells) else np.zeros(places.shape, np.uint8)
        if colours is not None:
            found = colours[np.arange(len(colours))[:, None, None], found]
        return np.where(inside, found + 1, 0).astype(np.uint8), np.stack([heights, widths], axis=1).astype(np.uint8)


def board_targets(boards: Bytes, sizes: Bytes) -> NDArray[np.int32]:
    """Return the targets [M, side, side] of answers [M, side, side] of some height and width [M, 2]; 0: unknown."""
    side = boards.shape[1]
    row, column = np.arange(side)[:, None], np.arange(side)
    height, width = (sizes[:, axis, None, None].astype(np.int64) for axis in (0, 1))
    ends = ((row == height) & (column < width)) | ((column == width) & (row < height))
    colours = np.where(boards > 0, boards.astype(np.int32) - 1 + FIRST_COLOUR, IGNORED_LABEL)
    return np.where(ends, EOS, colours).astype(np.int32)


def answered_grid(tokens: NDArray[np.integer], side: int) -> Grid:
    """The grid [h, w] that an answer [side * side ...] says, colours 0..9: from the top left to its first end mark each
    way.

    What is no colour within it counts as colour 0; an answer without a colour at the top left is one black cell.
    """
    cells = np.asarray(tokens)[: side**2].reshape(side, side)
    colours = (cells >= FIRST_COLOUR) & (cells < FIRST_BYTE)
    height, width = _run(colours[:, 0]), _run(colours[0])
    if not height or not width:
        return np.zeros((1, 1), np.uint8)
    inside = cells[:height, :width].astype(np.int64) - FIRST_COLOUR
    return np.where(colours[:height, :width], inside, 0).astype(np.uint8)


def _run(values: NDArray[np.bool_]) -> int:
    """How many of the first values are true."""
    return int(np.argmin(values)) if not values.all() else len(values)
