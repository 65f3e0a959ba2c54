"""Boards and grids in the terminal: cells as characters, pictures as half-blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

from trm_cli.data.puzzles.kinds import ARC

_UPPER_HALF = "\N{UPPER HALF BLOCK}"
_SPACED_COLUMNS = 16


def board_text(symbols: Sequence[str], styles: Sequence[str], width: int, box: tuple[int, int] | None) -> Text:
    """Draw the cells of a board row by row, each symbol in its style.

    width: cells in a row. box: rows and columns of the boxes that lines separate; None draws cells without gaps.
    """
    text = Text(no_wrap=True)
    rule = "" if box is None else "+".join(["-" * (2 * box[1] + 1)] * (width // box[1]))
    for cell, (symbol, style) in enumerate(zip(symbols, styles, strict=True)):
        row, column = divmod(cell, width)
        if row and not column:
            text.append("\n")
            if box and row % box[0] == 0:
                text.append(rule + "\n", "dim")
        if box:
            text.append(" | " if column and column % box[1] == 0 else " ", "dim")
        text.append(symbol, style)
    return text


def grid_text(cells: NDArray[np.integer], coloured: bool) -> Text:
    """Draw a grid [h, w] of colours 0..9; without colours its cells are digits."""
    if not cells.size:
        return Text("(no grid)", "dim")
    if not coloured:
        # Two grids of thirty cells fit a line of eighty only without spaces.
        gap = " " if cells.shape[1] <= _SPACED_COLUMNS else ""
        return Text("\n".join(gap.join(str(int(cell)) for cell in row) for row in cells))
    return half_blocks(np.array(ARC.palette, dtype=np.uint8)[cells])


def half_blocks(pixels: NDArray[np.uint8]) -> Text:
    """Draw pixels [h, w, 3]: each character is two of them, one above the other."""
    text = Text()
    for top in range(0, len(pixels), 2):
        for column in range(pixels.shape[1]):
            upper = _css(pixels[top, column])
            lower = f" on {_css(pixels[top + 1, column])}" if top + 1 < len(pixels) else ""
            text.append(_UPPER_HALF, f"{upper}{lower}")
        if top + 2 < len(pixels):
            text.append("\n")
    return text


def _css(pixel: NDArray[np.uint8]) -> str:
    return f"#{int(pixel[0]):02x}{int(pixel[1]):02x}{int(pixel[2]):02x}"
