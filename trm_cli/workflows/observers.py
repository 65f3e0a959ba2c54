"""Who watches a workflow. Every method does nothing here: a caller's subclass writes those that it wants.

The console shows what it is told (`console.views.run`); a notebook or a test may do with two or three methods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import ExitCode
from trm_cli.training.recording.observer import Observer

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved
    from trm_cli.data.building.builder_process import BuildProgress
    from trm_cli.schedule.plan import TrainingPlan
    from trm_cli.training.hardware.machine import Machine
    from trm_cli.training.memory.preflight import Preflight
    from trm_cli.workflows.train.cpu_cost import Cost


class BuildObserver:
    """Is told what a dataset builder does."""

    def build_command(self, command: Sequence[str]) -> None:
        """The builder's command line, before it is started."""

    def build_progress(self, report: BuildProgress) -> None:
        """How far the builder is."""

    def build_line(self, text: str) -> None:
        """A line that the builder has printed."""

    def building(self, title: str) -> AbstractContextManager[BuildObserver]:
        """Who watches while a builder is waited for: the block is left when it has ended, or is left to itself."""
        del title
        return nullcontext(self)


@dataclass(frozen=True)
class TrainingStart:
    """What the first update is about to be done of. build: how far a builder is that works beside, None: none does."""

    model: str
    architecture: str
    device: str
    precision: str
    plan: TrainingPlan
    first_step: int
    build: Callable[[], BuildProgress | None]


class Outcome(Enum):
    """How a training ended that raised no error."""

    PLANNED = auto()
    PLANNED_WITHOUT_DATASET = auto()
    DATASET_BUILT = auto()
    ALREADY_COMPLETE = auto()
    FINISHED = auto()
    STOPPED_AS_ASKED = auto()
    INTERRUPTED = auto()
    INTERRUPTED_BEFORE_A_CHECKPOINT = auto()


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended. step, best_step: of the state; best_step 0: no evaluation was the best.

    processes: how many have trained; each of them has a result.
    """

    outcome: Outcome
    run: Path
    exit_code: ExitCode = ExitCode.DONE
    step: int = 0
    total_steps: int = 0
    best_step: int = 0
    processes: int = 1


class TrainingObserver(Observer, BuildObserver):
    """Is told what `run_training` does, in the order of these methods."""

    def silence(self, wanted: bool) -> None:
        """Another process of the run speaks (True), or this one has something to say after all (False)."""

    def deleted(self, run: Path, files: int) -> None:
        """The files of an older run are deleted: a fresh start was asked for."""

    def planned(self, resolved: Resolved, plan: TrainingPlan) -> None:
        """The plan of the run."""

    def data_notes(self, notes: Sequence[str]) -> None:
        """What a person should know about the data before paying for a run on it."""

    def machine_chosen(self, machine: Machine, processes: int) -> None:
        """Where the run computes, and why."""

    def memory_estimated(self, preflight: Preflight) -> None:
        """What an update takes of the device's memory, and what is free."""

    def cost_estimated(self, cost: Cost) -> None:
        """What the run takes at the least on this machine's processor."""

    def setting_aside(self, run: Path, from_step: int, newer: Sequence[int]) -> None:
        """The checkpoints of the steps `newer` are given up: the run goes on after `from_step`."""

    def continuing(self, run: Path, step: int) -> None:
        """The run goes on after this step."""

    def training(self, start: TrainingStart) -> AbstractContextManager[Observer]:
        """Who watches the loop, which runs within the block."""
        del start
        return nullcontext(self)

    def ended(self, result: TrainingResult) -> None:
        """All is done but for a builder that may still be at work."""


class SolveObserver:
    """Is told what `solve` does where that takes long: for an ARC task."""

    def arc_task_found(self, name: str, inputs: int, augmentations: int, *, slow: bool) -> None:
        """The task is one that the model knows: its test inputs are asked under so many augmentations."""

    def counting(self, total: int, noun: str) -> AbstractContextManager[Callable[[int], None]]:
        """Work is done within the block: it is called with how many more of `total` are done."""
        del total, noun
        return nullcontext(_nobody)


class EvaluationObserver:
    """Is told what `run_evaluation` does."""

    def note(self, message: str) -> None:
        """Something a person should know."""

    def scoring(self, title: str, rows: int) -> AbstractContextManager[Callable[[int, bool], None]]:
        """Rows are scored within the block: it is called with how many have a result, and whether the latest of them
        had it already, from an evaluation that was interrupted."""
        del title, rows
        return nullcontext(_nobody)


def _nobody(*done: int) -> None:
    """Hear nothing."""
    del done
