"""The interfaces through which workflows report their progress.

Every method does nothing by default: a subclass overrides the ones it wants. The console overrides all of them
(`console.views.runs.run`); a notebook or a test may need two or three.
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
    from trm_cli.training.forecast.forecast import Forecast
    from trm_cli.training.hardware.machine import Machine
    from trm_cli.training.memory.check import MemoryCheck
    from trm_cli.training.run.initial_state import Start


class BuildObserver:
    """Receives the events of a dataset build."""

    def build_command(self, command: Sequence[str]) -> None:
        """The command line of a builder that a dry run does not start."""

    def build_progress(self, report: BuildProgress) -> None:
        """The builder reports its progress."""

    def build_line(self, text: str) -> None:
        """The builder has printed a line."""

    def building(self, title: str) -> AbstractContextManager[BuildObserver]:
        """Return the observer of one build; the block ends when the build does, or when it moves to the background."""
        del title
        return nullcontext(self)


@dataclass(frozen=True)
class TrainingStart:
    """Describes the training loop that is about to run.

    last_step: where it stops. compiles: whether its first update compiles the network. build: returns the progress of a
    background build, if any.
    """

    model: str
    architecture: str
    device: str
    precision: str
    plan: TrainingPlan
    first_step: int
    last_step: int
    compiles: bool
    build: Callable[[], BuildProgress | None]


class Outcome(Enum):
    """How a training run ended without an error."""

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
    """The result of `run_training`. best_step: the best evaluated step, 0 where none was evaluated.

    total_steps, epochs: of the plan. processes: the number of training processes; each of them returns a result.
    """

    outcome: Outcome
    run: Path
    exit_code: ExitCode = ExitCode.DONE
    step: int = 0
    total_steps: int = 0
    epochs: int = 0
    best_step: int = 0
    processes: int = 1


class TrainingObserver(Observer, BuildObserver):
    """Receives the events of `run_training`, in the order of these methods."""

    def silence(self, wanted: bool) -> None:
        """Mute this process because rank 0 reports for all (True), or unmute it to report an error (False)."""

    def deleted(self, run: Path, files: int) -> None:
        """The files of an earlier run were deleted because a fresh start was requested."""

    def planned(self, resolved: Resolved, plan: TrainingPlan) -> None:
        """The plan is computed."""

    def dataset_ready(self, resolved: Resolved) -> None:
        """The dataset is complete, and training was not asked for."""

    def data_notes(self, notes: Sequence[str]) -> None:
        """Remarks on the training data, such as samples that do not fit the model."""

    def machine_chosen(self, machine: Machine, processes: int) -> None:
        """Device, precision, compilation and threads are chosen."""

    def memory_estimated(self, check: MemoryCheck) -> None:
        """The memory of one update is estimated."""

    def foreseen(self, forecast: Forecast) -> None:
        """What the run will take is foreseen; not of a run of a few small updates."""

    def discarding(self, run: Path, from_step: int, newer: Sequence[int]) -> None:
        """The run continues from `from_step`, and the checkpoints of the steps `newer` will be moved aside."""

    def would_start(self, start: Start, plan: TrainingPlan) -> None:
        """A dry run has found where the run would start, or continue."""

    def continuing(self, run: Path, step: int) -> None:
        """An existing run continues after this step."""

    def training(self, start: TrainingStart) -> AbstractContextManager[Observer]:
        """Return the observer of the training loop, which runs within the block."""
        del start
        return nullcontext(self)

    def ended(self, result: TrainingResult) -> None:
        """Training has ended; a background build may still be running."""


class SolveObserver:
    """Receives the events of `solve`, most of them for an ARC task, which may take long."""

    def note(self, message: str) -> None:
        """A message for the user."""

    def arc_task_found(self, name: str, inputs: int, augmentations: int, *, slow: bool) -> None:
        """The task was found in the training data. slow: many augmentations on a CPU."""

    def counting(self, total: int, noun: str) -> AbstractContextManager[Callable[[int], None]]:
        """Return a function that is called, within the block, with the number of newly finished items."""
        del total, noun
        return nullcontext(_ignore)


class EvaluationObserver:
    """Receives the events of `run_evaluation`."""

    def note(self, message: str) -> None:
        """A message for the user."""

    def scoring(self, title: str, rows: int) -> AbstractContextManager[Callable[[int, bool], None]]:
        """Return a function that is called, within the block, with the number of scored rows, and with whether the
        latest of them were scored before, by an evaluation that was interrupted."""
        del title, rows
        return nullcontext(_ignore)


def _ignore(*done: int) -> None:
    """Do nothing."""
    del done
