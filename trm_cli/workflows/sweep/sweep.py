"""Plan, train and compare the trials of a sweep. The work behind `trm sweep`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.data.files.durable import claimed_directory
from trm_cli.errors import ExitCode, TrmError, UsageError
from trm_cli.workflows.observers import TrainingObserver
from trm_cli.workflows.sweep.definition import SweepFile
from trm_cli.workflows.sweep.queues import TrialQueue, best_value, steps_done
from trm_cli.workflows.sweep.trials import Trial, check_trials, planned_trials, seal
from trm_cli.workflows.train.jobs import Job, run_jobs
from trm_cli.workflows.train.seeds import dataset_command

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved
    from trm_cli.schedule.plan import TrainingPlan
    from trm_cli.training.forecast.forecast import Forecast
    from trm_cli.training.memory.check import MemoryCheck


@dataclass(frozen=True)
class PlannedTrial:
    """What a trial would do. memory: bytes it needs; forecast, memory: None where the dataset is not built."""

    trial: Trial
    plan: TrainingPlan
    forecast: Forecast | None
    memory: int | None


@dataclass(frozen=True)
class TrialResult:
    """How far a trial is. best: its best evaluation by the objective; state: complete, pruned, failed, unfinished."""

    trial: Trial
    step: int
    total_steps: int
    best: float | None
    state: str


class _Listener(TrainingObserver):
    """Keeps what a dry run reports."""

    plan: TrainingPlan
    forecast: Forecast | None = None
    memory: int | None = None

    def planned(self, resolved: Resolved, plan: TrainingPlan) -> None:
        """The plan is computed."""
        del resolved
        self.plan = plan

    def memory_estimated(self, check: MemoryCheck) -> None:
        """The memory of one update is estimated."""
        self.memory = check.needed.total

    def foreseen(self, forecast: Forecast) -> None:
        """The time is foreseen."""
        self.forecast = forecast


def plan_trials(sweep: SweepFile) -> list[PlannedTrial]:
    """Plan every trial as a dry run does. Raises TrmError."""
    check_trials(sweep)
    return [_plan(sweep, trial) for trial in planned_trials(sweep)]


def _plan(sweep: SweepFile, trial: Trial) -> PlannedTrial:
    from trm_cli.workflows.train.train import TrainRequest, run_training

    listener = _Listener()
    run_training(trial.resolved(sweep), TrainRequest(dry_run=True), listener)
    return PlannedTrial(trial, listener.plan, listener.forecast, listener.memory)


def run_sweep(
    sweep: SweepFile, jobs: int, on_start: Callable[[Job], None], on_line: Callable[[str], None] | None
) -> int:
    """Train what is not complete, `jobs` at a time as far as the memory allows; returns one exit status for all."""
    check_trials(sweep)
    queue: TrialQueue
    needs = _memory_of(sweep) if jobs > 1 else None
    with _held(sweep):
        seal(sweep)
        if sweep.method == "optuna":
            from trm_cli.workflows.sweep.study import StudyQueue

            queue = StudyQueue(sweep, needs)
        else:
            queue = TrialQueue(sweep, planned_trials(sweep), needs)
        if code := _build(sweep):
            return code
        return run_jobs(queue, jobs, on_start, on_line)


def run_trial(
    sweep: SweepFile, number: int, on_start: Callable[[Job], None], on_line: Callable[[str], None] | None
) -> int:
    """Train one trial, as a task of a SLURM array does. Raises UsageError."""
    trials = planned_trials(sweep)
    if sweep.method == "optuna":
        raise UsageError("--trial: Optuna chooses its trials one after the other", hint="method: random or grid")
    if not 0 <= number < len(trials):
        raise UsageError(f"--trial {number}: the sweep has trials 0 to {len(trials) - 1}")
    return run_jobs(TrialQueue(sweep, [trials[number]], None), 1, on_start, on_line)


def results(sweep: SweepFile) -> list[TrialResult]:
    """Every trial with its best evaluation."""
    if sweep.method == "optuna":
        from trm_cli.workflows.sweep.study import chosen_trials

        return [_result(sweep, trial, state) for trial, state in chosen_trials(sweep)]
    return [_result(sweep, trial) for trial in planned_trials(sweep)]


def best_of(found: Sequence[TrialResult], sweep: SweepFile) -> TrialResult | None:
    """The trial with the best evaluation; of equal ones the first."""
    scored = [one for one in found if one.best is not None]
    sign = 1 if sweep.more_is_better else -1
    return max(scored, key=lambda one: (sign * (one.best or 0.0), -one.trial.number), default=None)


def _result(sweep: SweepFile, trial: Trial, state: str = "") -> TrialResult:
    step, total = steps_done(trial.path)
    done = "complete" if total and step >= total else "unfinished"
    known = state if state in ("pruned", "fail") else done
    return TrialResult(trial, step, total, best_value(trial.path, sweep), known.replace("fail", "failed"))


def _held(sweep: SweepFile) -> AbstractContextManager[None]:
    path = Path(sweep.checkpoint_path)
    return claimed_directory(
        path,
        f"{path}: its trials are trained",
        error=TrmError,
        busy_hint="wait for it, or choose another checkpoint_path in the file",
        disk_hint="choose another checkpoint_path in the file",
    )


def _build(sweep: SweepFile) -> int:
    """Build the dataset that all trials share, before several begin at once."""
    first = planned_trials(sweep)[0].resolved(sweep)
    from trm_cli.workflows.train.run_dataset import fetch_addresses, missing_paths

    fetch_addresses(first, lambda _: None)
    if not missing_paths(first):
        return ExitCode.DONE
    return subprocess.run(dataset_command(first), check=False).returncode


def _memory_of(sweep: SweepFile) -> Callable[[Trial], tuple[int, int | None]]:
    """The bytes that a trial needs and those that are free on its device."""

    def needs(trial: Trial) -> tuple[int, int | None]:
        from trm_cli.training.hardware.machine import Machine
        from trm_cli.training.memory.check import MemoryCheck
        from trm_cli.training.run.datasets import Datasets

        config = trial.resolved(sweep).config
        datasets = Datasets.open(config)
        machine = Machine.choose(config, datasets.train.metadata.seq_len)
        check = MemoryCheck.of(config, datasets.train.metadata, machine, datasets.test)
        return check.needed.total, check.free

    return needs
