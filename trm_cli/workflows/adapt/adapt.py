"""Adapt a trained model to new ARC tasks: plan, build, train, vote, write the submission. Killed, it goes on.

A submission lies there from the beginning on, with the right number of attempts, and is replaced as soon as there are
votes.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import DatasetError, ExitCode, UsageError
from trm_cli.workflows.adapt import directory as files
from trm_cli.workflows.adapt.answers.submission import voted_inputs
from trm_cli.workflows.adapt.budget import MOST_OF_BUDGET, end_of
from trm_cli.workflows.adapt.building import build_tasks
from trm_cli.workflows.adapt.directory import AdaptDirectory, find_directory, write_document
from trm_cli.workflows.adapt.learning import Learning
from trm_cli.workflows.adapt.probe import probe
from trm_cli.workflows.adapt.request import AdaptObserver, AdaptPlan, AdaptRequest, AdaptResult
from trm_cli.workflows.adapt.result import result_document
from trm_cli.workflows.adapt.settings import Source, check_words, find_source, training_words
from trm_cli.workflows.adapt.stopwatch import Stopwatch, read_seconds

if TYPE_CHECKING:
    from trm_cli.data.arc.challenges import Challenges
    from trm_cli.workflows.adapt.answers.voting import Vote

#: More updates than a budget is expected to allow: it is the time that ends the training.
_SPARE = 1.25
_QUICK_SECONDS = 4.0


def adapt(request: AdaptRequest, observer: AdaptObserver | None = None) -> AdaptResult:
    """Learn the tasks of `request.tasks` from their demonstrations, vote, and write two attempts for each test input.

    The source's run is only read. The same request continues where an earlier one ended; a complete one is not
    repeated. Raises TrmError.
    """
    from trm_cli.training.hardware.torch_runtime import prepare_threads

    prepare_threads()  # before torch is imported
    from trm_cli.data.arc.challenges import read_challenges
    from trm_cli.data.files.durable import sha256_file
    from trm_cli.training.run_files import RUNS

    observer = observer or AdaptObserver()
    _check(request)
    source = find_source(request.run)
    settings = check_words(source, request.words).config
    _check_fits(request, source)
    challenges = read_challenges(request.tasks, source.side)
    purpose = {
        "weights": sha256_file(source.sealed.checkpoint),
        "tasks": challenges.digest,
        "settings": {
            name: getattr(request, name)
            for name in ("updates", "budget", "augmentations", "votes", "leave_out", "early_stop", "rows")
        }
        | {"words": list(request.words)},
    }
    home = find_directory(RUNS, source.name, challenges.name, purpose)
    step, used = int(source.sealed.summary.get("step", 0)), read_seconds(home.path / files.CLOCK)
    observer.adapting(
        AdaptPlan(request, home.path, source.sealed.checkpoint, step, challenges, home.begun, seconds_used=used)
    )
    if request.dry_run:
        return AdaptResult({"run": str(home.path), "tasks": len(challenges.tasks)})
    if not home.begun:
        home.write(files.PURPOSE, purpose)
    loading = 0.0 if request.process_began is None else time.monotonic() - request.process_began
    with home.held(), Stopwatch(home.path / files.CLOCK, loading) as clock:
        return _Adaptation(request, observer, source, challenges, home, clock, settings.device).result()


def _check(request: AdaptRequest) -> None:
    if (request.updates is None) == (request.budget is None):
        raise UsageError("how long may it learn?", hint="either --updates N, or --budget 11h (90s, 10m, 1h30m)")
    if request.rows not in ("mean", "zero"):
        raise UsageError(f"--rows is {request.rows!r}; expected mean or zero")


def _check_fits(request: AdaptRequest, source: Source) -> None:
    """Raise UsageError for options that the network of the source has no use for."""
    if not request.learns and not source.demonstrated:
        raise UsageError(
            f"{source.name} knows a task by its row of the puzzle table, and a new task has none before it is learned",
            hint="--budget 10m, or --updates 100; networks that read demonstrations answer without",
        )
    if source.demonstrated and (request.leave_out or request.early_stop):
        raise UsageError("--leave-out and --early-stop are for networks that learn a row for each task")


@dataclass(frozen=True)
class _Adaptation:
    """One call of `adapt`, in the directory that it has found."""

    request: AdaptRequest
    observer: AdaptObserver
    source: Source
    challenges: Challenges
    home: AdaptDirectory
    clock: Stopwatch
    device: str

    @property
    def data(self) -> Path:
        """The dataset of the new tasks."""
        return self.home.path / files.DATA

    @property
    def _submission(self) -> str:
        return str(self.request.out or self.home.path / files.SUBMISSION)

    def result(self) -> AdaptResult:
        """Do what is not done yet."""
        if done := self.home.read(files.RESULT):
            self._hand_out()
            return AdaptResult({**done, "submission": self._submission})
        if not (self.home.path / files.SUBMISSION).is_file():
            self._submit(None)
        self._hand_out()
        if not self.challenges.usable:
            faults = self.challenges.tasks[0].faults
            raise DatasetError(
                f"none of the {len(self.challenges.tasks)} tasks of {self.request.tasks} can be learned: {faults[0]}",
                hint=f"a submission without answers is in {self.home.path / files.SUBMISSION}",
            )
        if not self.request.learns or (self._budget_is_over() and any(self.home.path.glob(f"{files.VOTES}/*/*"))):
            return self._vote()
        if self._budget_is_over():
            return self._late()
        build_tasks(self.home, self.source, self.challenges, self.request, self.observer)
        self._divide_budget()
        code = ExitCode.DONE if self.home.read(files.PROGRESS).get("trained") else self._train()
        if code is not ExitCode.DONE:
            return self._ended(self._quick_vote() if code is ExitCode.TERMINATED else None, code)
        return self._vote()

    def _words(self, updates: int, run: Path) -> list[str]:
        from trm_cli.data.files.metadata import read_metadata

        samples: Fraction = read_metadata(self.data, "train").samples_per_epoch
        return training_words(
            self.source, self.request, run=run, data=self.data, samples_per_epoch=samples, updates=updates
        )

    def _divide_budget(self) -> None:
        """Decide how many updates there are; with a budget, from what an update and a vote take here."""
        budget = self.request.budget
        if "updates" in self.home.read(files.PROGRESS):
            return
        if budget is None:
            self.home.note(updates=self.request.updates)
            return
        folder = self.home.path / files.PROBE
        settings, used = self.source.settings(self._words(1_000, folder)), self.clock.seconds()

        def cast(enough: Callable[[], bool], observer: AdaptObserver) -> Vote:
            return self._cast_with(folder, folder, None, enough, observer)

        found = probe(settings, folder, cast, seconds=min(MOST_OF_BUDGET * budget, (end_of(budget) - used) / 2))
        if found is None:  # not one update fits: there is nothing to divide
            self.home.note(updates=1, train_until=used)
            return
        voting = found.vote_seconds(self._rows(), budget)
        train_until = end_of(budget) - voting
        learning = max(0.0, train_until - self.clock.seconds())
        updates = max(1, int(learning / max(found.update, 1e-6)))
        self.observer.probed(found, updates, learning, voting)
        self.home.note(updates=int(updates * _SPARE) + 1, train_until=train_until, probe=found.to_json())

    def _rows(self) -> int:
        """How many rows vote."""
        if self.source.demonstrated:
            inputs = sum(grid is not None for task in self.challenges.usable for grid in task.inputs)
            return inputs * self._votes
        from trm_cli.data.puzzles.dataset import open_dataset
        from trm_cli.evaluation.rows import select

        return len(select(open_dataset([self.data], "test"), None, self.request.votes))

    @property
    def _votes(self) -> int:
        """At most so many votes for each test input."""
        most = self.request.augmentations + 1
        return min(self.request.votes or most, most)

    def _train(self) -> ExitCode:
        """Train, or continue; returns the exit code of the signal that ended it, else DONE."""
        progress = self.home.read(files.PROGRESS)
        updates, until = int(progress["updates"]), progress.get("train_until")

        def time_is_up() -> bool:
            return until is not None and self.clock.seconds() >= until

        learning = Learning(self.request, self.observer, self.home, self.device, time_is_up)
        return learning.train(self.source.settings(self._words(updates, self.home.path)), updates)

    def _quick_vote(self) -> Vote | None:
        """Answer the plain tasks within a few seconds, because the process was told to end; a second signal ends it."""
        until = self.clock.seconds() + _QUICK_SECONDS
        return self._cast(1, lambda: self.clock.seconds() >= until) if self._can_answer else None

    @property
    def _learned(self) -> bool:
        from trm_cli.training.run_files import LATEST

        return (self.home.path / LATEST).is_file()

    @property
    def _can_answer(self) -> bool:
        return self._learned or self.source.demonstrated

    def _cast(self, votes: int | None, enough: Callable[[], bool]) -> Vote:
        weights = self.home.path if self._learned else self.source.sealed.checkpoint
        return self._cast_with(weights, self.home.path / files.VOTES, votes, enough, self.observer)

    def _cast_with(
        self, weights: Path, folder: Path, votes: int | None, enough: Callable[[], bool], observer: AdaptObserver
    ) -> Vote:
        """Vote with the weights of a run, or of a file."""
        if self.source.demonstrated:
            from trm_cli.workflows.adapt.answers.demonstrated import vote_from_demonstrations

            most, tasks = min(votes or self._votes, self._votes), self.challenges
            data = self.data if weights != self.source.sealed.checkpoint else None
            return vote_from_demonstrations(
                weights, folder, tasks, data, votes=most, device=self.device, enough=enough, observer=observer
            )
        from trm_cli.workflows.adapt.answers.voting import vote

        return vote(weights, folder, votes=votes, device=self.device, enough=enough, observer=observer)

    def _vote(self) -> AdaptResult:
        from trm_cli.training.signals import StopRequest

        if not self._can_answer:
            return self._ended(None, ExitCode.DONE)  # the budget did not last for one update
        with StopRequest(self._budget_is_over) as stop:
            cast = self._cast(self.request.votes, lambda: bool(stop))
            stopped = ExitCode.DONE if cast.complete else stop.exit_code or ExitCode.DONE
        return self._ended(cast, stopped)

    def _budget_is_over(self) -> bool:
        return bool(self.request.budget) and self.clock.seconds() >= end_of(self.request.budget or 0)

    def _late(self) -> AdaptResult:
        """End a run whose time went by before it could vote: only the plain tasks, where there is time to load."""
        loading = self.home.read(files.PROGRESS).get("probe", {}).get("loading", 0.0)
        left = (self.request.budget or 0) - self.clock.seconds()
        return self._ended(self._quick_vote() if left > 2 * loading + _QUICK_SECONDS else None, ExitCode.DONE)

    def _ended(self, cast: Vote | None, code: ExitCode) -> AdaptResult:
        """Write the submission of what is known, and, unless a signal has ended it, the result."""
        if cast is not None:
            self._submit(cast)
        self._hand_out()
        document = result_document(self.home, self.source, self.challenges, cast)
        document |= {"submission": self._submission, "seconds": round(self.clock.seconds(), 1)}
        if code is ExitCode.DONE:
            self.home.write(files.RESULT, document)
            shutil.rmtree(self.home.path / files.VOTES, ignore_errors=True)
        return AdaptResult(document, code)

    def _submit(self, cast: Vote | None) -> None:
        from trm_cli.evaluation.scores.arc_scores import submission

        voted = voted_inputs(self.challenges, None if cast is None else cast.ballot)
        self.home.write(files.SUBMISSION, submission(voted))

    def _hand_out(self) -> None:
        """Copy the submission to where it is wanted."""
        if self.request.out is not None:
            write_document(self.request.out, self.home.read(files.SUBMISSION))
