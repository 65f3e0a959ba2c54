"""Draw how a capsule network solves a sample: its input, what each capsule attends to, and what each step does."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.console.report.pen import INK, MARGIN, PALE, SOFT, WIDTH, ZOOM, Pen, Rgb
from trm_cli.data.puzzles.kinds import ARC
from trm_cli.evaluation.samples.written_text import MarkedText
from trm_cli.paths import from_here

if TYPE_CHECKING:
    from trm_cli.evaluation.samples.capsule_trace import Numbers, SampleTrace, TraceStep
    from trm_cli.evaluation.samples.records import DecodedAnswer
    from trm_cli.workflows.inspect.capsules import SampleCapsuleTrace

_GAP = 20
_LABELS = 112  # left of the steps
_PANEL = 300
_THUMB = 150
_MOST_STEPS = 8
_HEAT: Rgb = (226, 88, 34)
_OPEN: Rgb = (38, 110, 196)
_ACTIONS: dict[str, Rgb] = {"CONTINUE": (96, 106, 120), "HALT": (34, 139, 84), "EXPAND": _OPEN}


def draw_sheet(sheet: SampleCapsuleTrace) -> bytes:
    """Draw the trace of one sample as a PNG."""
    pen = Pen()
    top = _heading(pen, sheet)
    top = _seen_and_said(pen, sheet, top)
    top = _capsules(pen, sheet.look, top)
    top = _steps(pen, sheet, top)
    picture = pen.image.crop((0, 0, WIDTH * ZOOM, (top + MARGIN) * ZOOM))
    written = io.BytesIO()
    picture.save(written, format="PNG", optimize=True)
    return written.getvalue()


def _heading(pen: Pen, sheet: SampleCapsuleTrace) -> float:
    pen.text(MARGIN, MARGIN, sheet.title, 20)
    subtitle = f"{from_here(sheet.checkpoint)}, update {sheet.step:,}, {sheet.architecture}"
    pen.text(MARGIN, MARGIN + 28, subtitle, 13, SOFT)
    return MARGIN + 58


def _seen_and_said(pen: Pen, sheet: SampleCapsuleTrace, top: float) -> float:
    for index, (name, said) in enumerate(_panels(sheet)):
        x = MARGIN + index * (_PANEL + 2 * _GAP + 15)
        pen.text(x, top, name, 13, SOFT)
        if said is None:
            across, down = _inside(sheet.look.pixels, _PANEL)
            pen.pixels(x, top + 20, across, down, sheet.look.pixels)
            pen.box(x, top + 20, across, down, line=PALE)
        else:
            _answer(pen, x, top + 20, _PANEL, said, size=15)
    return top + 20 + _PANEL + _GAP


def _panels(sheet: SampleCapsuleTrace) -> Iterator[tuple[str, DecodedAnswer | None]]:
    """What stands at the top, each with its name; None: the input as it looks."""
    free = sheet.free
    if free is not None:
        judged = "" if free.wanted is None else f", {free.written.share_right:.0%} of its letters right"
        yield ("text" if free.wanted is None else "first half of the text"), free.given
        yield f"written by itself{judged}", free.written
        if free.wanted is not None:
            yield "right second half", free.wanted
        return
    yield "input", None
    yield f"answer after step {len(sheet.look.steps)}", sheet.answers[-1]
    if sheet.wanted is not None:
        yield "right answer", sheet.wanted


def _answer(pen: Pen, x: float, y: float, side: float, said: DecodedAnswer, size: int) -> None:
    """Draw a grid, or a text, in a square."""
    if isinstance(said, MarkedText):
        pen.box(x, y, side, side, line=PALE)
        pen.letters(x, y, side, said, size)
        return
    height, width = said.shape
    cell = side / max(height, width)
    pen.pixels(x, y, width * cell, height * cell, np.array(ARC.palette, dtype=np.uint8)[said])
    for row in range(1, height) if cell > 5 else ():
        pen.box(x, y + row * cell, width * cell, 0.5, (85, 85, 85))
    for column in range(1, width) if cell > 5 else ():
        pen.box(x + column * cell, y, 0.5, height * cell, (85, 85, 85))
    pen.box(x, y, width * cell, height * cell, line=SOFT)


def _capsules(pen: Pen, look: SampleTrace, top: float) -> float:
    rows, columns = look.grid
    explained = "the darker the orange, the more of the capsule comes from there"
    if not look.maps.any():
        return pen.section(top, "Where each capsule looks", "the capsules of this model do not read such a row")
    if look.residual is not None:
        explained += "; blue: expanded, its finer children visible"
    top = pen.section(top, "Where each capsule looks", explained)
    opened = look.opened_after
    pitch = _THUMB + _GAP
    for capsule, places in enumerate(look.maps):
        x, y = MARGIN + capsule % columns * pitch, top + capsule // columns * (pitch + 16)
        across, down = _inside(look.pixels, _THUMB)
        pen.pixels(x, y + 18, across, down, _heated(look.pixels, places))
        when = f"expanded: step {opened[capsule]}" if capsule in opened else ""
        pen.text(x, y, f"capsule {capsule + 1}", 12, _OPEN if when else SOFT)
        pen.text(x + _THUMB, y, when, 11, _OPEN, "ra")
        pen.box(x - 1, y + 17, _THUMB + 2, _THUMB + 2, line=_OPEN if when else PALE)
    if look.residual is not None:
        _residuals(pen, look.residual, look.opened_after, MARGIN + columns * pitch + _GAP, top)
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


def _residuals(pen: Pen, residual: Numbers, opened: Mapping[int, int], x: float, top: float) -> None:
    """Draw the checksum error of each capsule: how much its sketch has lost."""
    room = WIDTH - MARGIN - x
    if room < 160:
        return
    pen.text(x, top, "what its sketch has lost (checksum error)", 12, SOFT)
    most = max(float(residual.max()), 1e-9)
    for capsule, lost in enumerate(residual.tolist()):
        y = top + 24 + capsule * 21
        ink = _OPEN if capsule in opened else _HEAT
        pen.text(x + 20, y + 6, str(capsule + 1), 12, SOFT, "rm")
        pen.bar(x + 28, y + 2, room - 78, lost / most, ink)
        pen.text(x + room, y + 6, f"{lost:.2f}", 12, INK, "rm")


def chosen_steps(steps: Sequence[TraceStep], most: int = _MOST_STEPS) -> list[int]:
    """Choose the steps to draw: all, or the first, the last and others evenly between them."""
    if len(steps) <= most:
        return list(range(len(steps)))
    return sorted({round(index * (len(steps) - 1) / (most - 1)) for index in range(most)})


def _steps(pen: Pen, sheet: SampleCapsuleTrace, top: float) -> float:
    steps = sheet.look.steps
    shown = chosen_steps(steps)
    count = f"steps {', '.join(str(number + 1) for number in shown)} of {len(steps)}" if len(shown) < len(steps) else ""
    given = "each letter told with the right ones before it at hand, wrong ones red" if sheet.free else ""
    if sheet.free is not None and sheet.free.wanted is None:
        given = "each letter told with those before it at hand, red where it was written otherwise"
    explained = "; ".join(part for part in (f"what was answered, planned and done {count}".strip(), given) if part)
    top = pen.section(top, "Step by step", explained)
    pitch = (WIDTH - 2 * MARGIN - _LABELS) / max(len(shown), 5)
    side = min(pitch - 14, 116)
    rows = _rows(steps[0], side)
    for label, y in rows.items():
        pen.text(MARGIN, top + y, label, 12, SOFT)
    for place, number in enumerate(shown):
        x = MARGIN + _LABELS + place * pitch
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


def _one_step(pen: Pen, step: TraceStep, x: float, top: float, side: float, rows: dict[str, float]) -> None:
    def line(y: float, share: float, text: str, ink: Rgb, word: str = "") -> None:
        left = 12 if word else 0
        pen.text(x, top + y + 5, word, 11, ink, "lm")
        pen.bar(x + left, top + y + 1, side - left - 36, share, ink)
        pen.text(x + side, top + y + 5, text, 11, ink, "rm")

    line(rows["sure of it"], step.confidence, f"{step.confidence:.0%}", _ACTIONS["HALT"])
    if step.shares is not None:
        best = int(step.shares.argmax())
        for path, share in enumerate(step.shares.tolist()):
            ink = INK if path == best else SOFT
            line(rows["planner's paths"] + 17 * path, share, f"{share:.0%}", ink, str(path + 1))
    if step.q is not None:
        low, high = float(step.q.min()), float(step.q.max())
        for (name, ink), value in zip(_ACTIONS.items(), step.q.tolist(), strict=True):
            y = rows["value of actions"] + 17 * list(_ACTIONS).index(name)
            line(y, 0.08 + 0.92 * (value - low) / max(high - low, 1e-9), f"{value:+.2f}", ink, name[0])
    pen.text(x, top + rows["action"], step.action.lower(), 13, _ACTIONS[step.action])
