"""Trace what a capsule network does with one sample, step by step: where capsules look, expansions, plan, answer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trm_cli.data.puzzles.dataset import Batch
from trm_cli.data.puzzles.kinds import ARC
from trm_cli.data.stream.records import GRID, PICTURE
from trm_cli.data.stream.rows import render_text
from trm_cli.models.capsule_network import CapsuleNetwork, CapsuleStep
from trm_cli.models.hesc.control.q_control import Action

Numbers = NDArray[np.float32]
Pixels = NDArray[np.uint8]
#: Letters of a line of a text as its maps are drawn.
LINE = 32
_PAPER, _INK = 255, 225


@dataclass(frozen=True)
class TraceStep:
    """One step: answer [T] tokens; confidence that it is right; opened [K]: capsules whose children were visible;
    shares [paths] of the planner; q [3] in the order of Action; action: its name. None where a part is off."""

    answer: NDArray[np.int64]
    confidence: float
    opened: NDArray[np.bool_]
    shares: Numbers | None
    q: Numbers | None
    action: str


@dataclass(frozen=True)
class SampleTrace:
    """One sample: pixels uint8 [H, W, 3], and text where that is what it shows; rows and columns of the grid of
    capsules; maps [K, rows, columns]: where each capsule looks among the tokens, in the last step; residual [K]: what
    each sketch lost, None where there are no children to compare it with; the steps."""

    pixels: Pixels
    text: str | None
    grid: tuple[int, int]
    maps: Numbers
    residual: Numbers | None
    steps: tuple[TraceStep, ...]

    @property
    def opened_after(self) -> dict[int, int]:
        """Map each expanded capsule to the step (from 1) after which its children became visible."""
        found: dict[int, int] = {}
        for number, step in enumerate(self.steps):
            for capsule in np.flatnonzero(step.opened).tolist():
                found.setdefault(capsule, number)
        return found


def trace_sample(network: CapsuleNetwork, row: Batch, device: torch.device) -> SampleTrace:
    """Run one row (a batch of one, without `valid`) to the last step, and record each step."""
    with torch.inference_mode():
        trace = network.trace({name: torch.as_tensor(value).to(device) for name, value in row.items()})
    looked = trace.steps[-1]
    pixels, text, maps = _shown(row, looked.maps[0].float().cpu().numpy())
    return SampleTrace(
        pixels=pixels,
        text=text,
        grid=trace.grid,
        maps=maps,
        residual=None if looked.residual is None else _numbers(looked.residual),
        steps=tuple(_step(step) for step in trace.steps),
    )


def _shown(row: Batch, maps: Numbers) -> tuple[Pixels, str | None, Numbers]:
    """The input as pixels, its text, and the maps [K, N] over its tokens as [K, rows, columns]."""
    kind = int(row["kind"][0])
    if kind == GRID:
        height, width = (int(number) for number in row["size"][0, :2])
        side = math.isqrt(row["cells"].shape[1])
        cells = row["cells"][0].reshape(side, side)[:height, :width]
        colours = np.array(ARC.palette, np.uint8)[np.maximum(cells, 1) - 1]
        return colours, None, maps.reshape(-1, side, side)[:, :height, :width]
    if kind == PICTURE:
        pixels = np.broadcast_to(row["picture"][0], (3, *row["picture"].shape[2:])).transpose(1, 2, 0)
        side = math.isqrt(maps.shape[1])
        return np.ascontiguousarray(pixels), None, maps.reshape(-1, side, side)
    places = maps.shape[1]
    beyond = -places % LINE
    letters = np.pad(row["text"][0][:places] > 0, (0, beyond)).reshape(-1, LINE)
    grey = np.where(letters, _INK, _PAPER).astype(np.uint8)[..., None].repeat(3, 2)
    text = render_text(row["text"][0]).decode("utf-8", "replace")
    return grey, text, np.pad(maps, ((0, 0), (0, beyond))).reshape(len(maps), -1, LINE)


def _step(trace: CapsuleStep) -> TraceStep:
    return TraceStep(
        answer=trace.answer[0].cpu().numpy(),
        confidence=float(torch.sigmoid(trace.q_halt[0].float())),
        opened=trace.opened[0].cpu().numpy(),
        shares=None if trace.path_shares is None else _numbers(trace.path_shares),
        q=None if trace.q is None else _numbers(trace.q),
        action=Action(int(trace.action[0])).name,
    )


def _numbers(value: torch.Tensor) -> Numbers:
    return value[0].float().cpu().numpy().astype(np.float32)
