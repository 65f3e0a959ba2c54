"""Which trial is next: in order, and together within the memory of this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trm_cli.workflows.sweep.definition import SweepFile
from trm_cli.workflows.sweep.trials import Trial
from trm_cli.workflows.train.jobs import Job, Queue

#: Of the memory that is free at first, and what a process takes beside its tensors.
_SHARE, _PROCESS_BYTES = 0.85, 600_000_000
Needs = Callable[[Trial], tuple[int, int | None]]


class TrialQueue(Queue):
    """Trials in order. needs: the bytes of a trial and those that are free, None = unknown."""

    def __init__(self, sweep: SweepFile, trials: Sequence[Trial], needs: Needs | None) -> None:
        super().__init__(())
        self.sweep = sweep
        self._trials = list(trials)
        self._needs, self._needed = needs, dict[str, int]()
        self._free: int | None = None

    def following(self, running: Sequence[Job]) -> Job | None:
        """The next trial, if it fits beside those that run."""
        trial = self.next_trial(running)
        if trial is None or not self._fits(trial, running):
            return None
        self.take(trial)
        return trial.job(self.sweep)

    def next_trial(self, running: Sequence[Job]) -> Trial | None:
        """The trial that is next."""
        del running
        return self._trials[0] if self._trials else None

    def take(self, trial: Trial) -> None:
        """The trial begins."""
        self._trials.remove(trial)

    def _fits(self, trial: Trial, running: Sequence[Job]) -> bool:
        """Whether it fits; a trial that is alone says so itself."""
        if self._needs is None:
            return True
        if trial.name not in self._needed:
            needed, free = self._needs(trial)
            self._needed[trial.name] = needed + _PROCESS_BYTES
            self._free = free if self._free is None else self._free
        together = sum(self._needed.get(job.name, 0) for job in running) + self._needed[trial.name]
        return not running or self._free is None or together <= _SHARE * self._free


def evaluations(run: Path, objective: str) -> Iterator[tuple[int, float]]:
    """The step and the value of each evaluation of a run."""
    from trm_cli.training.recording.metrics_log import read_records
    from trm_cli.training.run_files import METRICS

    for record in read_records(run / METRICS) if (run / METRICS).exists() else []:
        value = record.get(objective) if record.get("kind") == "eval" else None
        if value is not None:
            yield int(record["step"]), float(value)


def best_value(run: Path, sweep: SweepFile) -> float | None:
    """The best evaluation of a run; None where there is none."""
    found = [value for _, value in evaluations(run, sweep.objective)]
    return (max(found) if sweep.more_is_better else min(found)) if found else None


def steps_done(run: Path) -> tuple[int, int]:
    """The last logged update of a run, and the updates of its plan; 0 where it has not begun."""
    from trm_cli.errors import UsageError
    from trm_cli.training.recording.metrics_log import read_records
    from trm_cli.training.run.sealed_config import read_plan
    from trm_cli.training.run_files import METRICS

    try:
        total = read_plan(run).total_steps
    except UsageError:
        return 0, 0
    records = read_records(run / METRICS) if (run / METRICS).exists() else []
    return max((int(record["step"]) for record in records), default=0), total


def in_words(settings: Mapping[str, Any]) -> str:
    """Settings of a trial in one line."""
    from trm_cli.config.dump import override

    return " ".join(override(key, value) for key, value in settings.items())
