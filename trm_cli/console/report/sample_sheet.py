"""Draw samples of a dataset into one picture file. Needs Pillow."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.puzzles.kinds import ARC
from trm_cli.data.samples import BoardSample, GridSample, PictureSample, Sample, TextSample

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

_CELL = 10
_BOARD_CELL = 22
_PICTURE_ZOOM = 3
_GAP = 28
_MARGIN = 16
_TITLE = 22
_WIDTH = 720
_TEXT_COLUMNS = 96
_INK, _PAPER, _LINE, _ANSWER = (30, 30, 30), (255, 255, 255), (200, 200, 200), (0, 116, 60)


def write_sheet(path: Path, samples: Sequence[Sample]) -> None:
    """Draw samples in rows as wide as a page and save them as `path`, whose ending says the format. Raises OSError."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(14)
    placed: list[tuple[int, int, str, Image.Image]] = []
    left = top = _MARGIN
    row_height = width = 0
    for sample in samples:
        panel = _panel(sample, font)
        wide = max(panel.width, int(font.getlength(sample.title)))
        if left > _MARGIN and left + wide + _MARGIN > _WIDTH:
            left, top, row_height = _MARGIN, top + row_height + _MARGIN, 0
        placed.append((left, top, sample.title, panel))
        left += wide + _GAP
        width, row_height = max(width, left - _GAP + _MARGIN), max(row_height, panel.height + _TITLE)
    sheet = Image.new("RGB", (max(width, 1), top + row_height + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for left, top, title, panel in placed:
        draw.text((left, top), title, fill=_INK, font=font)
        sheet.paste(panel, (left, top + _TITLE))
    sheet.save(path)


def _panel(sample: Sample, font: FreeTypeFont | ImageFont) -> Image:
    if isinstance(sample, GridSample):
        return _beside(_grid(sample.given), _grid(sample.wanted), font)
    if isinstance(sample, BoardSample):
        return _beside(_board(sample.given, sample, font), _board(sample.wanted, sample, font), font)
    if isinstance(sample, TextSample):
        return _text(sample.text, font)
    if isinstance(sample, PictureSample):
        return _beside(_picture(sample.pixels), _text(sample.label, font), font)


def _beside(left: Image, right: Image, font: FreeTypeFont | ImageFont) -> Image:
    from PIL import Image, ImageDraw

    height = max(left.height, right.height)
    panel = Image.new("RGB", (left.width + _GAP + right.width, height), _PAPER)
    panel.paste(left, (0, (height - left.height) // 2))
    panel.paste(right, (left.width + _GAP, (height - right.height) // 2))
    middle = (left.width + _GAP / 2, height / 2)
    ImageDraw.Draw(panel).text(middle, ">", fill=_INK, font=font, anchor="mm")
    return panel


def _grid(cells: NDArray[np.integer]) -> Image:
    from PIL import Image, ImageDraw

    pixels = np.array(ARC.palette, dtype=np.uint8)[cells].repeat(_CELL, axis=0).repeat(_CELL, axis=1)
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    for row in range(1, cells.shape[0]):
        draw.line([(0, row * _CELL), (picture.width, row * _CELL)], fill=(85, 85, 85))
    for column in range(1, cells.shape[1]):
        draw.line([(column * _CELL, 0), (column * _CELL, picture.height)], fill=(85, 85, 85))
    return picture


def _board(symbols: NDArray[np.str_], sample: BoardSample, font: FreeTypeFont | ImageFont) -> Image:
    from PIL import Image, ImageDraw

    height, width = symbols.shape
    cell = _BOARD_CELL if sample.box else _CELL
    board = Image.new("RGB", (width * cell + 1, height * cell + 1), _PAPER)
    draw = ImageDraw.Draw(board)
    for row in range(height):
        for column in range(width):
            symbol = str(symbols[row, column])
            corner = (column * cell, row * cell)
            far = (corner[0] + cell, corner[1] + cell)
            if symbol == "#":
                draw.rectangle([corner, far], fill=_INK)
            else:
                draw.rectangle([corner, far], outline=_LINE)
                ink = _INK if symbol == str(sample.given[row, column]) else _ANSWER
                centre = (corner[0] + cell / 2, corner[1] + cell / 2)
                draw.text(centre, symbol.strip(" ."), fill=ink, font=font, anchor="mm")
    if sample.box:
        for row in range(0, height + 1, sample.box[0]):
            draw.line([(0, row * cell), (width * cell, row * cell)], fill=_INK, width=2)
        for column in range(0, width + 1, sample.box[1]):
            draw.line([(column * cell, 0), (column * cell, height * cell)], fill=_INK, width=2)
    return board


def _text(text: str, font: FreeTypeFont | ImageFont) -> Image:
    from PIL import Image, ImageDraw

    wrapped = "\n".join(
        line for part in text.split("\n") for line in (textwrap.wrap(part, _TEXT_COLUMNS) if part.strip() else [""])
    )
    box = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox((0, 0), wrapped, font=font)
    panel = Image.new("RGB", (int(box[2]) + 2, int(box[3]) + 4), _PAPER)
    ImageDraw.Draw(panel).multiline_text((0, 0), wrapped, fill=_INK, font=font)
    return panel


def _picture(pixels: NDArray[np.uint8]) -> Image:
    from PIL import Image

    zoomed = pixels.transpose(1, 2, 0).repeat(_PICTURE_ZOOM, axis=0).repeat(_PICTURE_ZOOM, axis=1)
    return Image.fromarray(np.ascontiguousarray(zoomed))
