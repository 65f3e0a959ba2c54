"""Trials that Optuna chooses by those before, and ends early where they promise too little.

The study is a SQLite file beside the runs. The sampler of a trial is seeded by its number, so that a sweep that is
killed goes on to the same trials, one at a time.
"""

from __future__ import annotations

import math
import signal
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.errors import ExitCode, UsageError
from trm_cli.workflows.sweep.definition import Range, SweepFile
from trm_cli.workflows.sweep.queues import Needs, TrialQueue, best_value, evaluations
from trm_cli.workflows.sweep.trials import Trial, number_of, trial_at
from trm_cli.workflows.train.jobs import Job

if TYPE_CHECKING:
    import optuna

STUDY = "study.db"
#: How a run ends that is given up: it saves, or it was about to end and dies of the signal, or it did not hear it.
_AS_ASKED = (ExitCode.TERMINATED, -signal.SIGTERM, ExitCode.DONE)
#: Between two looks at the evaluations of a run, which read its whole log.
_SECONDS_BETWEEN_LOOKS = 1.0


class StudyQueue(TrialQueue):
    """The trials of a study."""

    def __init__(self, sweep: SweepFile, needs: Needs | None) -> None:
        super().__init__(sweep, (), needs)
        self._optuna = _library()
        self.study = open_study(sweep)
        self._next: Trial | None = None
        self._pruned: set[int] = set()
        self._looked: dict[int, float] = {}

    def next_trial(self, running: Sequence[Job]) -> Trial | None:
        """One that was interrupted, else a new one."""
        if self._next is not None:
            return self._next
        active = {job.path.name for job in running}
        for frozen in self.study.trials:
            trial = _trial_of(self.sweep, frozen)
            if frozen.state == self._optuna.trial.TrialState.RUNNING and trial.name not in active:
                self._next = trial
                return trial
        number = len(self.study.trials)
        if number >= (self.sweep.trials or 0):
            return None
        self.study.sampler = self._optuna.samplers.TPESampler(seed=self.sweep.seed + number)
        self.study.ask(_distributions(self.sweep, self._optuna))
        self._next = _trial_of(self.sweep, self.study.trials[number])
        return self._next

    def take(self, trial: Trial) -> None:
        """The trial begins."""
        del trial
        self._next = None

    def is_enough(self, job: Job) -> bool:
        """Report the evaluations of a run, at most once a second; True where the study gives it up."""
        number, now = number_of(job.path), time.monotonic()
        if self.sweep.prune and now - self._looked.get(number, -math.inf) >= _SECONDS_BETWEEN_LOOKS:
            self._report(number, job.path)
            self._looked[number] = time.monotonic()
        return number in self._pruned

    def _report(self, number: int, run: Path) -> None:
        """Tell the study the evaluations that it does not know yet."""
        frozen = self.study.trials[number]
        found = list(evaluations(run, self.sweep.objective))
        if len(found) > len(frozen.intermediate_values):
            trial = self._optuna.trial.Trial(self.study, frozen._trial_id)
            for step, value in found[len(frozen.intermediate_values) :]:
                trial.report(value, step)
                if trial.should_prune():
                    self._pruned.add(number)
                    break

    def ended(self, job: Job, code: int) -> int:
        """Tell the study how a run has ended; being given up is no failure."""
        states = self._optuna.trial.TrialState
        number = number_of(job.path)
        if self.sweep.prune:
            self._report(number, job.path)  # an evaluation that nobody has seen yet
        if number in self._pruned and code in _AS_ASKED:
            self.study.tell(number, state=states.PRUNED)
            return ExitCode.DONE
        value = best_value(job.path, self.sweep) if code == ExitCode.DONE else None
        if value is not None:
            self.study.tell(number, value)
        elif code != ExitCode.TERMINATED:
            self.study.tell(number, state=states.FAIL)
        return code


def open_study(sweep: SweepFile) -> optuna.Study:
    """The study in the directory of a sweep; made where there is none. Raises UsageError without Optuna."""
    library = _library()
    study: optuna.Study = library.create_study(
        storage=f"sqlite:///{Path(sweep.checkpoint_path).resolve() / STUDY}",
        study_name="sweep",
        load_if_exists=True,
        direction="maximize" if sweep.more_is_better else "minimize",
        pruner=library.pruners.MedianPruner(n_startup_trials=3),
    )
    return study


def chosen_trials(sweep: SweepFile) -> list[tuple[Trial, str]]:
    """The trials of a study so far, each with its state."""
    return [(_trial_of(sweep, frozen), frozen.state.name.lower()) for frozen in open_study(sweep).trials]


def _library() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise UsageError(
            "method: optuna needs the package optuna, which is not installed", hint="pip install 'trm[sweep]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def _trial_of(sweep: SweepFile, frozen: Any) -> Trial:
    return trial_at(sweep, frozen.number, _settings(sweep, frozen.params))


def _settings(sweep: SweepFile, params: Mapping[str, Any]) -> dict[str, Any]:
    """What Optuna calls by its place in a list, in the values of the file."""
    found: dict[str, Any] = {}
    for key, value in sweep.search.items():
        given = params[key]
        found[key] = given if isinstance(value, Range) else value[given]
        if isinstance(value, Range) and not value.whole:
            found[key] = float(f"{given:.6g}")
    return found


def _distributions(sweep: SweepFile, library: Any) -> dict[str, Any]:
    kinds = library.distributions
    found: dict[str, Any] = {}
    for key, value in sweep.search.items():
        if not isinstance(value, Range):
            found[key] = kinds.CategoricalDistribution(range(len(value)))
        elif value.whole:
            found[key] = kinds.IntDistribution(int(value.low), int(value.high), log=value.log)
        else:
            found[key] = kinds.FloatDistribution(value.low, value.high, log=value.log)
    return found
