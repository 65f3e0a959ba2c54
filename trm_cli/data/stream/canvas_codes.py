"""Convert stored records to canvas codes and targets, for a canvas of any size.

A canvas of `size` px has square cells of 7 px, and characters one cell wide and two cells high. Canvas codes [C] are
cells (0 empty, 1..10 the colours 0..9) or characters (bytes, 0 empty), row by row from the top left, padded with 0.

One vocabulary for every target: 0 padding, 1 end, 2..11 colours, 12..267 bytes, then controls. Targets [T] have one
place per cell of the canvas; what is not to be predicted is -100. A grid's target lies on the same cells as the grid
on the canvas, with end marks one row below and one column right of it; a text's target is what follows, in order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.stream.vocabulary import EOS, FIRST_BYTE, FIRST_COLOUR, FIRST_CONTROL

CELL_PIXELS = 7
CHARACTER_HEIGHT_IN_CELLS = 2
# Bytes of a text that are to be predicted in one sample: at 84 px they still fit the canvas' 144 places.
TEXT_TARGET = 128

Codes = NDArray[np.uint8]
Labels = NDArray[np.int32]


@dataclass(frozen=True)
class CanvasSpec:
    """A square canvas of `size` px. Raises ValueError where its sides are not whole cells."""

    size: int

    def __post_init__(self) -> None:
        if self.size < 2 * CELL_PIXELS or self.size % CELL_PIXELS:
            raise ValueError(f"canvas_size is {self.size}; it must be a multiple of {CELL_PIXELS}, at least 14")

    @property
    def side(self) -> int:
        """Cells along one side: the largest grid that fits."""
        return self.size // CELL_PIXELS

    @property
    def cells(self) -> int:
        """Cells of the canvas, and places of a target."""
        return self.side**2

    @property
    def characters(self) -> int:
        """Characters of the canvas."""
        return self.side * (self.side // CHARACTER_HEIGHT_IN_CELLS)


def place_grid(canvas: Codes, grid: Codes, top: int, left: int) -> None:
    """Write a grid [h, w] of colours 0..9 onto an empty canvas [side, side] of cell codes."""
    height, width = grid.shape
    canvas[top : top + height, left : left + width] = grid + 1


def grid_target(target: Labels, grid: Codes, top: int, left: int) -> None:
    """Write the labels of a grid [h, w] into a target [side, side] that holds IGNORED."""
    height, width = grid.shape
    target[top : top + height, left : left + width] = grid.astype(np.int32) + FIRST_COLOUR
    # The end marks say how large the answer is; a grid that touches the canvas' edge ends there.
    target[top + height : top + height + 1, left : left + width] = EOS
    target[top : top + height, left + width : left + width + 1] = EOS


def place_text(canvas: Codes, text: bytes) -> None:
    """Write at most `canvas.size` characters onto an empty canvas [C]."""
    canvas[: len(text)] = np.frombuffer(text, dtype=np.uint8)


def text_target(target: Labels, text: bytes, *, ends: bool) -> None:
    """Write bytes, and the end mark where the document ends there, into a target [T] that holds IGNORED."""
    count = min(len(text), target.size)
    target[:count] = np.frombuffer(text[:count], dtype=np.uint8).astype(np.int32) + FIRST_BYTE
    if ends and len(text) < target.size:
        target[len(text)] = EOS


def render_target(target: Labels) -> bytes:
    """Return the bytes of a causal target [T]: the inverse of `text_target`, without the end mark."""
    kept = target[(target >= FIRST_BYTE) & (target < FIRST_CONTROL)]
    return bytes((kept - FIRST_BYTE).astype(np.uint8))
