"""Trace a capsule network on one sample, step by step: attention maps, expansions, plan, Q values, answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trm_cli.data.puzzles.dataset import Batch
from trm_cli.models.canvas_network import CanvasNetwork, CapsuleStep
from trm_cli.models.hesc.q_control import Action

Numbers = NDArray[np.float32]


@dataclass(frozen=True)
class TraceStep:
    """One step: answer [T] tokens; confidence that it is right; opened [K]: capsules whose children were visible;
    shares [paths] and gate of the planner; q [3] in the order of Action; action: its name. None where a part is off."""

    answer: NDArray[np.int64]
    confidence: float
    opened: NDArray[np.bool_]
    shares: Numbers | None
    gate: float | None
    q: Numbers | None
    action: str


@dataclass(frozen=True)
class SampleTrace:
    """One sample: pixels uint8 [H, W, 3]; rows and columns of the grid of capsules; maps [K, side, side]: where each
    capsule looks (sum 1), the same in every step; residual [K]: what each sketch lost, None where there are no children
    to compare it with; the steps."""

    pixels: NDArray[np.uint8]
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


def trace_sample(network: CanvasNetwork, row: Batch, device: torch.device) -> SampleTrace:
    """Run one row (a batch of one, without `valid`) to the last step, and record each step."""
    with torch.inference_mode():
        trace = network.trace({name: torch.as_tensor(value).to(device) for name, value in row.items()})
    side, first = trace.patches_per_side, trace.steps[0]
    return SampleTrace(
        pixels=trace.pixels[0].permute(1, 2, 0).cpu().numpy(),
        grid=trace.grid,
        maps=first.maps[0].float().cpu().numpy().reshape(-1, side, side),
        residual=None if first.residual is None else _numbers(first.residual),
        steps=tuple(_step(step) for step in trace.steps),
    )


def _step(trace: CapsuleStep) -> TraceStep:
    return TraceStep(
        answer=trace.answer[0].cpu().numpy(),
        confidence=float(torch.sigmoid(trace.q_halt[0].float())),
        opened=trace.opened[0].cpu().numpy(),
        shares=None if trace.path_shares is None else _numbers(trace.path_shares),
        gate=None if trace.gate is None else float(trace.gate[0]),
        q=None if trace.q is None else _numbers(trace.q),
        action=Action(int(trace.action[0])).name,
    )


def _numbers(value: torch.Tensor) -> Numbers:
    return value[0].float().cpu().numpy().astype(np.float32)
