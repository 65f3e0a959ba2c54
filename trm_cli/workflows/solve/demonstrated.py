"""Solve an ARC task with a capsule network, from its demonstrations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import DatasetError

if TYPE_CHECKING:
    import torch

    from trm_cli.data.stream.augmentations import Learned
    from trm_cli.evaluation.solving.demonstrated import DemonstratedAnswer
    from trm_cli.training.run.trained_model import TrainedModel
    from trm_cli.workflows.observers import SolveObserver

#: Views that vote. Of 200 tasks of unseen rules one view had 38 %, eight had 43 (docs/experiments.md).
VOTES = 8
#: Views that are computed at once.
_BATCH, _BATCH_ELSEWHERE = {"cuda": 64}, 4


@dataclass(frozen=True)
class DemonstratedSolution:
    """The answers to the test inputs of a task. known: whether the run's dataset holds the task; demonstrations: how
    many of its pairs the model has seen; views: of each test input, which vote."""

    task: str
    known: bool
    demonstrations: int
    views: int
    answers: Sequence[DemonstratedAnswer]
    checkpoint: Path
    step: int

    @property
    def solved(self) -> bool:
        """Whether no known output was missed."""
        return all(one.right is not False for one in self.answers)


def solve(
    trained: TrainedModel,
    text: str,
    device: torch.device,
    observer: SolveObserver,
    *,
    task: str | None,
    steps: int | None,
    votes: int,
) -> DemonstratedSolution:
    """Parse the task and solve its test inputs. task: its name in the run's dataset; votes: views of each test input.

    Raises UsageError.
    """
    from trm_cli.data.arc.task import parse_arc_task
    from trm_cli.data.stream.augmentations import view
    from trm_cli.data.stream.shape import stream_shape
    from trm_cli.evaluation.solving.demonstrated import solve_task

    side = trained.config.board_side
    assert side is not None
    asked, name = parse_arc_task(text, task), task or ""
    learned = _learned(name, trained.config.data_paths)
    views = [view(learned, number) for number in range(votes)]
    shape = stream_shape(trained.metadata, side, "the run's dataset")
    batch = _BATCH.get(device.type, _BATCH_ELSEWHERE)
    with observer.counting(votes * len(asked.tests), "views of test inputs") as advance:
        answers = solve_task(
            trained.model, asked, shape, views, device, steps=steps, batch_size=batch, progress=advance
        )
    shown = min(shape.demonstrations, len(asked.demonstrations))
    return DemonstratedSolution(name, learned.first > 0, shown, votes, answers, trained.checkpoint, trained.step)


def _learned(task: str, data_paths: Sequence[str]) -> Learned:
    """The identifiers of a task in the datasets of a run."""
    from trm_cli.data.stream.augmentations import UNKNOWN, learned_tasks

    for path in data_paths:
        try:
            known = learned_tasks(Path(path))
        except DatasetError:
            continue
        if task in known:
            return known[task]
    return UNKNOWN
