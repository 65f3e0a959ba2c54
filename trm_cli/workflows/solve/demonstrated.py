"""Solve an ARC task with a capsule network, from its demonstrations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from trm_cli.evaluation.solving.demonstrated import DemonstratedAnswer
    from trm_cli.training.run.trained_model import TrainedModel
    from trm_cli.workflows.observers import SolveObserver


@dataclass(frozen=True)
class DemonstratedSolution:
    """The answers to the test inputs of a task. known: whether the run's dataset holds the task; demonstrations: how
    many of its pairs the model has seen."""

    task: str
    known: bool
    demonstrations: int
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
) -> DemonstratedSolution:
    """Parse the task and solve its test inputs. task: its name in the run's dataset. Raises UsageError."""
    from trm_cli.data.arc.task import parse_arc_task
    from trm_cli.data.stream.shape import stream_shape
    from trm_cli.evaluation.samples.records import identifier_of
    from trm_cli.evaluation.solving.demonstrated import solve_task

    side = trained.config.board_side
    assert side is not None
    asked, name = parse_arc_task(text, task), task or ""
    identifier = identifier_of(name, trained.config.data_paths)
    shape = stream_shape(trained.metadata, side, "the run's dataset")
    with observer.counting(len(asked.tests), "test inputs") as advance:
        answers = solve_task(trained.model, asked, shape, identifier, device, steps, advance)
    shown = min(shape.demonstrations, len(asked.demonstrations))
    return DemonstratedSolution(name, identifier > 0, shown, answers, trained.checkpoint, trained.step)
