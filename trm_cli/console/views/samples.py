"""Samples in the terminal: two cells of a grid in one character, boards as text, pictures as half-blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trm_cli.console.output import shows_colours
from trm_cli.data.puzzles.kinds import ARC
from trm_cli.data.samples import BoardSample, GridSample, PictureSample, Sample, TextSample

_UPPER_HALF = "\N{UPPER HALF BLOCK}"
_PICTURE_COLUMNS = 32
_SPACED_COLUMNS = 16


def show_samples(console: Console, samples: Sequence[Sample]) -> None:
    """Print samples one below the other."""
    coloured = shows_colours(console)
    for sample in samples:
        console.print(Text(sample.title, "bold"))
        console.print(Padding(render(sample, coloured), (0, 0, 1, 2)))


def render(sample: Sample, coloured: bool) -> RenderableType:
    """Return one sample as something that rich prints; without colours cells are digits."""
    if isinstance(sample, GridSample):
        return _beside(grid_text(sample.given, coloured), grid_text(sample.wanted, coloured))
    if isinstance(sample, BoardSample):
        answer = _board(sample.wanted, sample.box, sample.given)
        return _beside(_board(sample.given, sample.box, sample.given), answer)
    if isinstance(sample, TextSample):
        return Text(sample.text)
    if isinstance(sample, PictureSample):
        return _beside(_picture(sample.pixels), Text(sample.label)) if coloured else Text(f"[picture] {sample.label}")


def _beside(left: Text, right: Text) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    for _ in range(3):
        table.add_column(no_wrap=True, vertical="middle")
    table.add_row(left, "\N{RIGHTWARDS ARROW}", right)
    return table


def grid_text(cells: NDArray[np.integer], coloured: bool) -> Text:
    """Draw a grid [h, w] of colours 0..9; without colours its cells are digits."""
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


def _board(symbols: NDArray[np.str_], box: tuple[int, int] | None, given: NDArray[np.str_]) -> Text:
    """Draw a board with lines between its boxes; what was not given stands out."""
    text = Text()
    height, width = symbols.shape
    for row in range(height):
        if box and row and row % box[0] == 0:
            parts = ["-" * (2 * box[1] - 1)] * (width // box[1])
            text.append("-+-".join(parts) + "\n", "dim")
        for column in range(width):
            if column and box and column % box[1] == 0:
                text.append(" | ", "dim")
            elif column and box:
                text.append(" ")
            symbol = str(symbols[row, column])
            text.append(symbol, "" if symbol == str(given[row, column]) else "bold green")
        if row + 1 < height:
            text.append("\n")
    return text


def _picture(pixels: NDArray[np.uint8]) -> Text:
    """Draw a picture [3, h, w], made smaller by leaving pixels out where it is wider than the space."""
    step = max(1, -(-pixels.shape[2] // _PICTURE_COLUMNS))
    return half_blocks(pixels[:, ::step, ::step].transpose(1, 2, 0))
