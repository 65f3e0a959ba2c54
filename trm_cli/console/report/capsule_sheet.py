"""Draw how a capsule network solves a sample: its input, what each capsule attends to, and what each step does."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.puzzles.kinds import ARC

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont
    from PIL.ImageFont import FreeTypeFont

    from trm_cli.evaluation.samples.capsule_trace import Numbers, SampleTrace, TraceStep
    from trm_cli.workflows.inspect.capsules import CapsuleTrace

Rgb = tuple[int, int, int]
DecodedAnswer = NDArray[np.uint8] | str
"""An answer for people: a grid [h, w] of colours 0..9, or a text."""

ZOOM = 2  # pixels of the file for each unit of the layout
WIDTH = 1080
_MARGIN, _GAP = 28, 20
_LABELS = 112  # left of the steps
_PANEL = 300
_THUMB = 150
_MOST_STEPS = 8
_INK, _SOFT, _PALE, _PAPER = (34, 40, 49), (118, 126, 138), (228, 232, 237), (255, 255, 255)
_HEAT: Rgb = (226, 88, 34)
_OPEN: Rgb = (38, 110, 196)
_ACTIONS: dict[str, Rgb] = {"CONTINUE": (96, 106, 120), "HALT": (34, 139, 84), "EXPAND": _OPEN}


def draw_sheet(sheet: CapsuleTrace) -> bytes:
    """Draw the trace of one sample as a PNG."""
    pen = _Pen()
    top = pen.heading(sheet)
    top = _seen_and_said(pen, sheet, top)
    top = _capsules(pen, sheet.look, top)
    top = _steps(pen, sheet, top)
    picture = pen.image.crop((0, 0, WIDTH * ZOOM, (top + _MARGIN) * ZOOM))
    written = io.BytesIO()
    picture.save(written, format="PNG", optimize=True)
    return written.getvalue()


class _Pen:
    """Draws in units of the layout on a page that is cut to its length at the end."""

    def __init__(self) -> None:
        from PIL import Image, ImageDraw

        self.image: Image.Image = Image.new("RGB", (WIDTH * ZOOM, 2400 * ZOOM), _PAPER)
        self.draw: ImageDraw.ImageDraw = ImageDraw.Draw(self.image)
        self._fonts: dict[int, FreeTypeFont | ImageFont.ImageFont] = {}

    def text(self, x: float, y: float, text: str, size: int = 13, ink: Rgb = _INK, anchor: str = "la") -> None:
        """Draw text with its anchor at (x, y)."""
        from PIL import ImageFont

        font = self._fonts.setdefault(size, ImageFont.load_default(size * ZOOM))
        self.draw.text((x * ZOOM, y * ZOOM), text, fill=ink, font=font, anchor=anchor)

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

    def heading(self, sheet: CapsuleTrace) -> float:
        """Draw title and subtitle; returns the position below them."""
        self.text(_MARGIN, _MARGIN, sheet.title, 20)
        subtitle = f"{sheet.checkpoint}, update {sheet.step:,}, {sheet.architecture}"
        self.text(_MARGIN, _MARGIN + 28, subtitle, 13, _SOFT)
        return _MARGIN + 58

    def section(self, top: float, title: str, explained: str) -> float:
        """Draw a line, a title and its explanation; returns the position below them."""
        self.box(_MARGIN, top, WIDTH - 2 * _MARGIN, 1, _PALE)
        self.text(_MARGIN, top + 12, title, 15)
        self.text(_MARGIN, top + 33, explained, 12, _SOFT)
        return top + 58

    def bar(self, x: float, y: float, w: float, share: float, ink: Rgb, h: float = 9) -> None:
        """Draw a bar of which a share is filled."""
        self.box(x, y, w, h, _PALE)
        if share > 0:
            self.box(x, y, max(1.0, w * min(1.0, share)), h, ink)


def _seen_and_said(pen: _Pen, sheet: CapsuleTrace, top: float) -> float:
    steps = len(sheet.look.steps)
    answer = f"answer after step {steps}{' (given the letters before)' if sheet.letters_given else ''}"
    panels: list[tuple[str, DecodedAnswer | None]] = [("input", sheet.look.text), (answer, sheet.answers[-1])]
    if sheet.wanted is not None:
        panels.append(("right answer", sheet.wanted))
    for index, (name, said) in enumerate(panels):
        x = _MARGIN + index * (_PANEL + 2 * _GAP + 15)
        pen.text(x, top, name, 13, _SOFT)
        if said is None:
            across, down = _inside(sheet.look.pixels, _PANEL)
            pen.pixels(x, top + 20, across, down, sheet.look.pixels)
            pen.box(x, top + 20, across, down, line=_PALE)
        else:
            _answer(pen, x, top + 20, _PANEL, said, size=15)
    return top + 20 + _PANEL + _GAP


def _answer(pen: _Pen, x: float, y: float, side: float, said: DecodedAnswer, size: int) -> None:
    """Draw a grid, or a text, in a square."""
    if isinstance(said, str):
        pen.box(x, y, side, side, line=_PALE)
        columns, lines = int(side / (size * 0.56)), int((side - 12) / (size * 1.3))
        plain = "".join(one if one in "\n" or (one.isprintable() and one != "\ufffd") else "\u00b7" for one in said)
        wrapped = [line for part in plain.split("\n") for line in (textwrap.wrap(part, columns) or [""])]
        for number, line in enumerate(wrapped[:lines]):
            pen.text(x + 8, y + 6 + number * size * 1.3, line, size)
        return
    height, width = said.shape
    cell = side / max(height, width)
    pen.pixels(x, y, width * cell, height * cell, np.array(ARC.palette, dtype=np.uint8)[said])
    for row in range(1, height) if cell > 5 else ():
        pen.box(x, y + row * cell, width * cell, 0.5, (85, 85, 85))
    for column in range(1, width) if cell > 5 else ():
        pen.box(x + column * cell, y, 0.5, height * cell, (85, 85, 85))
    pen.box(x, y, width * cell, height * cell, line=_SOFT)


def _capsules(pen: _Pen, look: SampleTrace, top: float) -> float:
    rows, columns = look.grid
    explained = "the darker the orange, the more of the capsule comes from there"
    if look.residual is not None:
        explained += "; blue: expanded, its finer children visible"
    top = pen.section(top, "Where each capsule looks", explained)
    opened = look.opened_after
    pitch = _THUMB + _GAP
    for capsule, places in enumerate(look.maps):
        x, y = _MARGIN + capsule % columns * pitch, top + capsule // columns * (pitch + 16)
        across, down = _inside(look.pixels, _THUMB)
        pen.pixels(x, y + 18, across, down, _heated(look.pixels, places))
        when = f"expanded: step {opened[capsule]}" if capsule in opened else ""
        pen.text(x, y, f"capsule {capsule + 1}", 12, _OPEN if when else _SOFT)
        pen.text(x + _THUMB, y, when, 11, _OPEN, "ra")
        pen.box(x - 1, y + 17, _THUMB + 2, _THUMB + 2, line=_OPEN if when else _PALE)
    if look.residual is not None:
        _residuals(pen, look.residual, look.opened_after, _MARGIN + columns * pitch + _GAP, top)
    return top + rows * (pitch + 16) + 4


def _inside(pixels: NDArray[np.uint8], side: float) -> tuple[float, float]:
    """Width and height of a picture [H, W, 3] drawn as large as fits into a square."""
    height, width = pixels.shape[:2]
    return side * width / max(height, width), side * height / max(height, width)


def _stretched(values: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Values [h, w, ...] repeated to [height, width, ...]."""
    rows, columns = np.arange(height) * values.shape[0] // height, np.arange(width) * values.shape[1] // width
    stretched: NDArray[Any] = values[rows][:, columns]
    return stretched


def _heated(pixels: NDArray[np.uint8], places: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Blend the input [H, W, 3] with the map [rows, columns] of one capsule."""
    height, width = (max(a, b) for a, b in zip(pixels.shape[:2], places.shape, strict=True))
    seen, looked = _stretched(pixels, height, width), _stretched(places, height, width)
    strength = (looked / max(float(places.max()), 1e-9)) ** 0.7
    alpha = 0.85 * strength[..., None]
    faded = 255 - 0.5 * (255 - seen.astype(np.float32))
    mixed: NDArray[np.uint8] = (faded * (1 - alpha) + np.array(_HEAT) * alpha).astype(np.uint8)
    return mixed


def _residuals(pen: _Pen, residual: Numbers, opened: Mapping[int, int], x: float, top: float) -> None:
    """Draw the checksum error of each capsule: how much its sketch has lost."""
    room = WIDTH - _MARGIN - x
    if room < 160:
        return
    pen.text(x, top, "what its sketch has lost (checksum error)", 12, _SOFT)
    most = max(float(residual.max()), 1e-9)
    for capsule, lost in enumerate(residual.tolist()):
        y = top + 24 + capsule * 21
        ink = _OPEN if capsule in opened else _HEAT
        pen.text(x + 20, y + 6, str(capsule + 1), 12, _SOFT, "rm")
        pen.bar(x + 28, y + 2, room - 78, lost / most, ink)
        pen.text(x + room, y + 6, f"{lost:.2f}", 12, _INK, "rm")


def chosen_steps(steps: Sequence[TraceStep], most: int = _MOST_STEPS) -> list[int]:
    """Choose the steps to draw: all, or the first, the last and others evenly between them."""
    if len(steps) <= most:
        return list(range(len(steps)))
    return sorted({round(index * (len(steps) - 1) / (most - 1)) for index in range(most)})


def _steps(pen: _Pen, sheet: CapsuleTrace, top: float) -> float:
    steps = sheet.look.steps
    shown = chosen_steps(steps)
    count = f"steps {', '.join(str(number + 1) for number in shown)} of {len(steps)}" if len(shown) < len(steps) else ""
    top = pen.section(top, "Step by step", f"what was answered, planned and done {count}".strip())
    pitch = (WIDTH - 2 * _MARGIN - _LABELS) / max(len(shown), 5)
    side = min(pitch - 14, 116)
    rows = _rows(steps[0], side)
    for label, y in rows.items():
        pen.text(_MARGIN, top + y, label, 12, _SOFT)
    for place, number in enumerate(shown):
        x = _MARGIN + _LABELS + place * pitch
        pen.text(x, top, f"step {number + 1}", 13)
        _answer(pen, x, top + rows["answer"], side, sheet.answers[number], size=9)
        _one_step(pen, steps[number], x, top, side, rows)
    return top + rows["action"] + 22


def _rows(step: TraceStep, side: float) -> dict[str, float]:
    """Map the name of each line of the steps to its vertical position."""
    rows = {"answer": 24.0, "sure of it": 24 + side + 14}
    y = rows["sure of it"] + 28
    if step.shares is not None:
        rows["planner's paths"] = y
        y += 17 * len(step.shares) + 10
    if step.q is not None:
        rows["value of actions"] = y
        y += 17 * len(step.q) + 10
    rows["action"] = y
    return rows


def _one_step(pen: _Pen, step: TraceStep, x: float, top: float, side: float, rows: dict[str, float]) -> None:
    def line(y: float, share: float, text: str, ink: Rgb, word: str = "") -> None:
        left = 12 if word else 0
        pen.text(x, top + y + 5, word, 11, ink, "lm")
        pen.bar(x + left, top + y + 1, side - left - 36, share, ink)
        pen.text(x + side, top + y + 5, text, 11, ink, "rm")

    line(rows["sure of it"], step.confidence, f"{step.confidence:.0%}", _ACTIONS["HALT"])
    if step.shares is not None:
        best = int(step.shares.argmax())
        for path, share in enumerate(step.shares.tolist()):
            ink = _INK if path == best else _SOFT
            line(rows["planner's paths"] + 17 * path, share, f"{share:.0%}", ink, str(path + 1))
    if step.q is not None:
        low, high = float(step.q.min()), float(step.q.max())
        for (name, ink), value in zip(_ACTIONS.items(), step.q.tolist(), strict=True):
            y = rows["value of actions"] + 17 * list(_ACTIONS).index(name)
            line(y, 0.08 + 0.92 * (value - low) / max(high - low, 1e-9), f"{value:+.2f}", ink, name[0])
    pen.text(x, top + rows["action"], step.action.lower(), 13, _ACTIONS[step.action])
