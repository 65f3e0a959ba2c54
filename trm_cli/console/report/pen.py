"""A pen that draws text, bars and pixels on a page, in units of its layout. Needs Pillow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont
    from PIL.ImageFont import FreeTypeFont

    from trm_cli.evaluation.samples.written_text import MarkedText

Rgb = tuple[int, int, int]

ZOOM = 2  # pixels of the file for each unit of the layout
WIDTH = 1080
MARGIN = 28
INK, SOFT, PALE, PAPER = (34, 40, 49), (118, 126, 138), (228, 232, 237), (255, 255, 255)
WRONG: Rgb = (203, 36, 49)


class Pen:
    """Draws in units of the layout on a page that is cut to its length at the end."""

    def __init__(self) -> None:
        from PIL import Image, ImageDraw

        self.image: Image.Image = Image.new("RGB", (WIDTH * ZOOM, 2400 * ZOOM), PAPER)
        self.draw: ImageDraw.ImageDraw = ImageDraw.Draw(self.image)
        self._fonts: dict[int, FreeTypeFont | ImageFont.ImageFont] = {}

    def text(self, x: float, y: float, text: str, size: int = 13, ink: Rgb = INK, anchor: str = "la") -> None:
        """Draw text with its anchor at (x, y)."""
        self.draw.text((x * ZOOM, y * ZOOM), text, fill=ink, font=self.font(size), anchor=anchor)

    def font(self, size: int) -> FreeTypeFont | ImageFont.ImageFont:
        """The font of a size in units of the layout."""
        from PIL import ImageFont

        return self._fonts.setdefault(size, ImageFont.load_default(size * ZOOM))

    def box(self, x: float, y: float, w: float, h: float, fill: Rgb | None = None, line: Rgb | None = None) -> None:
        """Draw a rectangle; line: the colour of its outline."""
        corners = (x * ZOOM, y * ZOOM, (x + w) * ZOOM - 1, (y + h) * ZOOM - 1)
        self.draw.rectangle(corners, fill=fill, outline=line, width=ZOOM)

    def pixels(self, x: float, y: float, w: float, h: float, colours: NDArray[np.uint8]) -> None:
        """Draw colours [H, W, 3] as squares that fill a rectangle."""
        from PIL import Image

        small = Image.fromarray(np.ascontiguousarray(colours))
        size = (round(w * ZOOM), round(h * ZOOM))
        self.image.paste(small.resize(size, Image.Resampling.NEAREST), (round(x * ZOOM), round(y * ZOOM)))

    def section(self, top: float, title: str, explained: str) -> float:
        """Draw a line, a title and its explanation; returns the position below them."""
        self.box(MARGIN, top, WIDTH - 2 * MARGIN, 1, PALE)
        self.text(MARGIN, top + 12, title, 15)
        self.text(MARGIN, top + 33, explained, 12, SOFT)
        return top + 58

    def bar(self, x: float, y: float, w: float, share: float, ink: Rgb, h: float = 9) -> None:
        """Draw a bar of which a share is filled."""
        self.box(x, y, w, h, PALE)
        if share > 0:
            self.box(x, y, max(1.0, w * min(1.0, share)), h, ink)

    def letters(self, x: float, y: float, side: float, said: MarkedText, size: int) -> None:
        """Draw as much of a text as fits into a square, its wrong letters red on pale red."""
        right, last = x + side - 8, y + side - 6 - size * 1.3
        left, down = x + 8, y + 6
        across = left
        for word, wrong in _words(said):
            widths = [self._width(letter, size) for letter in word]
            if across > left and across + sum(widths) > right and not word.isspace():
                across, down = left, down + size * 1.3
            for letter, width, is_wrong in zip(word, widths, wrong, strict=True):
                if letter == "\n" or across + width > right:
                    across, down = left, down + size * 1.3
                    if letter.isspace():
                        continue
                if down > last:
                    return
                if is_wrong:
                    self.box(across, down, width, size * 1.2, (253, 226, 226))
                self.text(across, down, letter, size, WRONG if is_wrong else INK)
                across += width

    def _width(self, letter: str, size: int) -> float:
        return 0.0 if letter == "\n" else self.font(size).getlength(letter) / ZOOM


def _words(said: MarkedText) -> Iterator[tuple[str, tuple[bool, ...]]]:
    """The words of a text and what lies between them, each with its marks; what cannot be drawn is a dot."""
    plain = "".join(one if one == "\n" or (one.isprintable() and one != "\ufffd") else "\u00b7" for one in said.text)
    for found in re.finditer(r"\s|\S+", plain):
        yield found[0], said.wrong[found.start() : found.end()]
