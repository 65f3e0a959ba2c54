"""What `adapt` is asked for, what it reports on the way, and its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.errors import ExitCode
from trm_cli.workflows.observers import TrainingObserver

if TYPE_CHECKING:
    from trm_cli.data.arc.challenges import Challenges
    from trm_cli.evaluation.scores.intervals import Share
    from trm_cli.workflows.adapt.budget import Probe


@dataclass(frozen=True)
class AdaptRequest:
    """The options of an adaptation.

    run: a run or a checkpoint file. tasks: a challenges file, a folder of one JSON a task, or one task. updates, or
    budget in seconds: how long it learns; 0: not at all. augmentations: of each task. votes: for each test input, None:
    all. leave_out: of so many tasks one demonstration is not learned, but tested on. early_stop: a task is not learned
    further while all its demonstrations are right. rows: mean or zero, with which a task begins. words: settings of the
    training, `key=value`. out: a copy of the submission. process_began: as time.monotonic says it, where the time to
    load this process is a part of the budget.
    """

    run: str
    tasks: Path
    updates: int | None = None
    budget: float | None = None
    augmentations: int = 128
    votes: int | None = None
    leave_out: int = 0
    early_stop: bool = False
    rows: str = "mean"
    words: tuple[str, ...] = ()
    out: Path | None = None
    dry_run: bool = False
    process_began: float | None = None

    @property
    def learns(self) -> bool:
        """Whether anything is learned, and not only asked."""
        return bool(self.updates or self.budget)


@dataclass(frozen=True)
class AdaptPlan:
    """What will be done, before anything is. continued: an earlier call has begun it. seconds_used: of the budget."""

    request: AdaptRequest
    run: Path
    source: Path
    source_step: int
    challenges: Challenges
    continued: bool
    seconds_used: float


@dataclass(frozen=True)
class AdaptResult:
    """The result: its document, and the exit code of a signal that ended it early."""

    document: dict[str, Any]
    exit_code: ExitCode = ExitCode.DONE


class AdaptObserver(TrainingObserver):
    """Receives the events of `adapt`: these, and between them those of a build and of a training.

    watches: the training stops on the way, even where nothing else is tested (`stopped`).
    """

    watches = False

    def adapting(self, plan: AdaptPlan) -> None:
        """The plan is made."""

    def probed(self, probe: Probe, updates: int, train_seconds: float, vote_seconds: float) -> None:
        """The speed is measured, and the rest of the budget divided."""

    def left_out(self, step: int, right: Share) -> None:
        """The demonstrations that are not learned were tested after this update."""

    def learned(self, step: int, learned: Sequence[int], tasks: int) -> None:
        """So many of the tasks, by number, had all demonstrations right after this update."""

    def stopped(self, step: int, run: Path) -> None:
        """The training stands still after this update, whose checkpoint is the newest of the run."""

    def voting(self, rows: int) -> AbstractContextManager[Callable[[int, bool], None]]:
        """Return a function that is called, within the block, with the number of answered rows, and with whether they
        were answered before."""
        del rows
        return nullcontext(_ignore)


def _ignore(done: int, found: bool) -> None:
    del done, found
