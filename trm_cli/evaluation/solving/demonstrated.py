"""Solve an ARC task with a capsule network: each test input with the task's demonstrations, by a vote of views.

What the task asks for is known from its demonstrations, and from its row in the puzzle table where it has one. A view
turns and recolours demonstrations and test input alike; its answer is turned back and votes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trm_cli.data.arc.encoding import Grid
from trm_cli.data.arc.identifiers import ArcIdentifiers
from trm_cli.data.arc.task import ArcTask
from trm_cli.data.arc.transforms import augment_grid
from trm_cli.data.stream.augmentations import View
from trm_cli.data.stream.boards import answered_grid
from trm_cli.data.stream.rows import grid_row
from trm_cli.data.stream.shape import StreamShape
from trm_cli.errors import UsageError
from trm_cli.evaluation.scores.arc_votes import Ballot, Candidate, key_of
from trm_cli.models.network import Network
from trm_cli.models.thinking import think

Pairs = Sequence[tuple[Grid, Grid]]
#: An answer, and the model's probability that it is right.
Sure = tuple[Grid, float]


@dataclass(frozen=True)
class DemonstratedAnswer:
    """A test input, the candidates of the vote from the best on, and the right answer where it is known.

    path: (step, the answer of the plain task after it, the model's probability that it is right).
    """

    given: Grid
    candidates: tuple[Candidate, ...]
    path: tuple[tuple[int, Grid, float], ...]
    wanted: Grid | None

    @property
    def answer(self) -> Grid:
        """The first candidate, which counts."""
        return self.candidates[0].grid

    @property
    def votes(self) -> int:
        """How many views voted."""
        return sum(one.votes for one in self.candidates)

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
    views: Sequence[View],
    device: torch.device,
    *,
    steps: int | None = None,
    batch_size: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> list[DemonstratedAnswer]:
    """Answer every test input by a vote of views, the first of which is the plain task, `batch_size` at a time.

    shape: of the rows that the model was trained on; steps: default as trained; progress: called with the number of
    rows that each batch has finished. Raises UsageError for a grid that is larger than the board.
    """
    answers = []
    for given, wanted in task.tests:
        ballot = Ballot(ArcIdentifiers((_TASK,), np.zeros(1, np.int32), np.zeros(1, np.uint32)))
        path: list[tuple[int, Grid, float]] = []
        for first in range(0, len(views), batch_size):
            some = views[first : first + batch_size]
            try:
                rows = [shown_row(shape, given, task.demonstrations, one) for one in some]
            except ValueError as error:
                raise UsageError(str(error), hint="larger grids need a run on a dataset that has some") from error
            last: list[Sure] = []
            for number, last in enumerate(answers_by_step(model, shape, rows, some, device, steps=steps), 1):
                if first == 0:
                    path.append((number, *last[0]))
            for grid, sure in last:
                ballot.cast(0, key_of(given), key_of(grid), sure)
            progress(len(some))
        answers.append(DemonstratedAnswer(given, tuple(ballot.ranked(_TASK, key_of(given))), tuple(path), wanted))
    return answers


_TASK = "task"


def shown_row(shape: StreamShape, given: Grid, demonstrations: Pairs, view: View) -> dict[str, NDArray[np.generic]]:
    """The row of a test input and its demonstrations in a view. Raises ValueError for a grid that is too large."""
    turned = [(augment_grid(a, view.shown), augment_grid(b, view.shown)) for a, b in demonstrations]
    return grid_row(shape, augment_grid(given, view.shown), None, turned, identifier=view.identifier)


def answers_by_step(
    model: Network,
    shape: StreamShape,
    rows: Sequence[dict[str, NDArray[np.generic]]],
    views: Sequence[View],
    device: torch.device,
    *,
    steps: int | None = None,
) -> Iterator[list[Sure]]:
    """After each step the answers of all rows, as the plain task has them, with their probabilities."""
    batch = {name: torch.as_tensor(np.concatenate([row[name] for row in rows])).to(device) for name in rows[0]}
    for step in think(model, batch, steps=steps):
        said = model.answer(step.outputs).cpu().numpy()
        sure = torch.sigmoid(step.outputs.q_halt.float()).tolist()
        grids = [
            augment_grid(answered_grid(one, shape.side), view.undone) for one, view in zip(said, views, strict=True)
        ]
        yield list(zip(grids, sure, strict=True))
