"""Solve an ARC task with a capsule network: each test input with the task's demonstrations, after every step.

What the task asks for is known from its demonstrations, and from its row in the puzzle table where it has one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from trm_cli.data.arc.encoding import Grid
from trm_cli.data.arc.task import ArcTask
from trm_cli.data.stream.boards import answered_grid
from trm_cli.data.stream.rows import grid_row
from trm_cli.data.stream.shape import StreamShape
from trm_cli.errors import UsageError
from trm_cli.models.network import Network
from trm_cli.models.thinking import think


@dataclass(frozen=True)
class DemonstratedAnswer:
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
    model: Network,
    task: ArcTask,
    shape: StreamShape,
    identifier: int,
    device: torch.device,
    steps: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[DemonstratedAnswer]:
    """Answer every test input. shape: of the rows that the model was trained on; steps: default as trained;
    progress: called after each test input with 1.

    Raises UsageError for a grid that is larger than the board.
    """
    answers = []
    for given, wanted in task.tests:
        try:
            row = grid_row(shape, given, None, task.demonstrations, identifier=identifier)
        except ValueError as error:
            raise UsageError(str(error), hint="larger grids need a run on a dataset that has some") from error
        batch = {name: torch.as_tensor(value).to(device) for name, value in row.items()}
        path = []
        for step in think(model, batch, steps=steps):
            grid = answered_grid(model.answer(step.outputs)[0].cpu().numpy(), shape.side)
            path.append((step.number, grid, float(torch.sigmoid(step.outputs.q_halt[0].float()))))
        answers.append(DemonstratedAnswer(given, tuple(path), wanted))
        progress(1)
    return answers
