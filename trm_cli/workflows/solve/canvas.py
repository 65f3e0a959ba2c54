"""Solve an ARC task with a capsule network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from trm_cli.evaluation.solving.canvas import CanvasAnswer
    from trm_cli.training.run.trained_model import TrainedModel
    from trm_cli.workflows.observers import SolveObserver


@dataclass(frozen=True)
class CanvasSolution:
    """The answers to the test inputs of a task. known: whether the run's dataset holds the task."""

    task: str
    known: bool
    answers: Sequence[CanvasAnswer]
    checkpoint: Path
    step: int


def solve(
    trained: TrainedModel,
    text: str,
    device: torch.device,
    observer: SolveObserver,
    *,
    task: str | None,
    steps: int | None,
) -> CanvasSolution:
    """Parse the task and solve its test inputs. task: its name in the run's dataset. Raises UsageError."""
    from trm_cli.data.arc.task import parse_arc_task
    from trm_cli.evaluation.samples.canvas_samples import identifier_of
    from trm_cli.evaluation.solving.canvas import solve_task
    from trm_cli.models.canvas_network import CanvasNetwork

    network = trained.model
    assert isinstance(network, CanvasNetwork)
    asked, name = parse_arc_task(text, task), task or ""
    identifier = identifier_of(name, trained.config.data_paths)
    with observer.counting(len(asked.tests), "test inputs") as advance:
        answers = solve_task(network, asked, trained.metadata.seq_len, identifier, device, steps, advance)
    return CanvasSolution(name, identifier > 0, answers, trained.checkpoint, trained.step)
