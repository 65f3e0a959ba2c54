"""Solve an ARC task with a capsule network: each test input on a canvas, with the answer after every step.

The canvas holds the input alone, as in training: what the task asks for is known from its puzzle identifier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from trm_cli.data.arc.encoding import Grid
from trm_cli.data.arc.task import ArcTask
from trm_cli.evaluation.samples.canvas_samples import decode_grid, pair_row
from trm_cli.models.canvas_network import CanvasNetwork
from trm_cli.models.thinking import think


@dataclass(frozen=True)
class CanvasAnswer:
    """A test input, and the right answer where it is known.

    path: (step, the answer after it, the model's probability that it is right).
    """

    given: Grid
    path: tuple[tuple[int, Grid, float], ...]
    wanted: Grid | None

    @property
    def answer(self) -> Grid:
        """The last answer, which counts."""
        return self.path[-1][1]

    @property
    def right(self) -> bool | None:
        """Return whether the answer is right; None where that is unknown."""
        if self.wanted is None:
            return None
        return np.array_equal(self.answer, self.wanted)


def solve_task(
    model: CanvasNetwork,
    task: ArcTask,
    length: int,
    identifier: int,
    device: torch.device,
    steps: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[CanvasAnswer]:
    """Answer every test input. length: places of the targets that the model was made for; steps: default as trained.
    progress: called after each test input with 1.

    Raises UsageError for a grid that is larger than the canvas.
    """
    canvas = model.canvas_size
    answers = []
    for given, wanted in task.tests:
        row = pair_row(given, None, canvas, length, identifier)
        batch = {name: torch.as_tensor(value).to(device) for name, value in row.items()}
        path = []
        for step in think(model, batch, steps=steps):
            tokens = model.answer(step.outputs)[0].cpu().numpy()
            path.append(
                (step.number, decode_grid(tokens, canvas), float(torch.sigmoid(step.outputs.q_halt[0].float())))
            )
        answers.append(CanvasAnswer(given, tuple(path), wanted))
        progress(1)
    return answers
