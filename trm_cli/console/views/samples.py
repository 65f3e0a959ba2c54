"""Samples of a dataset in the terminal: grids and pictures as half-blocks, boards as text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from trm_cli.console.boards import board_text, grid_text, half_blocks
from trm_cli.console.output import shows_colours
from trm_cli.data.samples import BoardSample, GridSample, PictureSample, Sample, TextSample

_PICTURE_COLUMNS = 32


def show_samples(console: Console, samples: Sequence[Sample]) -> None:
    """Print samples one below the other."""
    for sample in samples:
        console.print(Text(sample.title, "bold"))
        console.print(Padding(_picture(sample, shows_colours(console)), (0, 0, 1, 2)))


def _picture(sample: Sample, coloured: bool) -> RenderableType:
    """Draw one sample; without colours cells are digits."""
    if isinstance(sample, GridSample):
        return _beside(grid_text(sample.given, coloured), grid_text(sample.wanted, coloured))
    if isinstance(sample, BoardSample):
        return _beside(_board(sample, sample.given), _board(sample, sample.wanted))
    if isinstance(sample, TextSample):
        return Text(sample.text)
    if isinstance(sample, PictureSample):
        return _beside(_pixels(sample.pixels), Text(sample.label)) if coloured else Text(f"[picture] {sample.label}")


def _beside(left: Text, right: Text) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    for _ in range(3):
        table.add_column(no_wrap=True, vertical="middle")
    table.add_row(left, "\N{RIGHTWARDS ARROW}", right)
    return table


def _board(sample: BoardSample, symbols: NDArray[np.str_]) -> Text:
    """Draw a board; what is not given is green."""
    styles = np.where(symbols == sample.given, "", "bold green")
    return board_text(symbols.reshape(-1).tolist(), styles.reshape(-1).tolist(), symbols.shape[1], sample.box)


def _pixels(pixels: NDArray[np.uint8]) -> Text:
    """Draw a picture [3, h, w]; of one that is too wide some pixels are left out."""
    step = max(1, -(-pixels.shape[2] // _PICTURE_COLUMNS))
    return half_blocks(pixels[:, ::step, ::step].transpose(1, 2, 0))
