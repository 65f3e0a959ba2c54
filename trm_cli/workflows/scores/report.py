"""Collect the files of a run for its report. torch is imported only if an evaluation is requested."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from trm_cli.errors import CheckpointError, reading
from trm_cli.paths import exists

if TYPE_CHECKING:
    from trm_cli.workflows.observers import EvaluationObserver

Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Took:
    """Seconds, processor seconds of the first process, and joules of its device (None = unknown) of a whole run."""

    seconds: float
    processor: float
    joules: float | None


@dataclass(frozen=True)
class RunRecord:
    """The contents of a run directory. evaluation: None where the run was never evaluated.

    identity: run.json. metrics, timings: the lines of metrics.jsonl and timings.jsonl. plan, config: as they are sealed
    in the newest checkpoint; config as text. price_per_hour: as configured.
    """

    directory: Path
    model: str
    architecture: str
    identity: Mapping[str, Any]
    plan: Mapping[str, Any]
    metrics: Records
    timings: Records
    evaluation: Mapping[str, Any] | None
    config: str
    price_per_hour: float | None = None

    @property
    def training_seconds(self) -> tuple[float, float] | None:
        """Training time in seconds and mean samples per second; None where nothing was logged."""
        rates = [(one["step"], one.get("samples_per_second")) for one in self.timings]
        logged = [(step, rate) for step, rate in rates if _is_number(rate) and rate]
        if not logged:
            return None
        steps, batch = [step for step, _ in logged], self.plan["global_batch_size"]
        samples = [(now - before) * batch for before, now in zip([0, *steps], steps, strict=False)]
        seconds = sum(amount / rate for amount, (_, rate) in zip(samples, logged, strict=True))
        return seconds, sum(samples) / seconds

    @property
    def took(self) -> Took | None:
        """What the run took; None where an earlier version logged it. What a kill made it compute again counts once."""
        measured = [
            one for one in self.timings if _is_number(one.get("cpu_seconds")) and _is_number(one.get("seconds"))
        ]
        if not measured:
            return None
        joules = [one["joules"] for one in measured if _is_number(one.get("joules"))]
        return Took(
            seconds=sum(one["seconds"] for one in measured),
            processor=sum(one["cpu_seconds"] for one in measured),
            joules=sum(joules) if len(joules) == len(measured) else None,
        )

    @property
    def forecast(self) -> Mapping[str, Any] | None:
        """The forecast that was made when the run began, not when it was continued."""
        found = [one["forecast"] for one in self.timings if "forecast" in one]
        return found[0] if found and not found[0]["from_step"] else None


def _is_number(value: object) -> TypeGuard[float]:
    """Whether a value of a log, which anybody may have changed, is a number that can be summed up."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def collect(directory: Path, evaluate: int | None = None, observer: EvaluationObserver | None = None) -> RunRecord:
    """Read a run directory. evaluate: puzzles to evaluate where no evaluation is stored. Raises TrmError."""
    from trm_cli.config.dump import dump_config
    from trm_cli.training.run.readable_copies import check_copies
    from trm_cli.training.run.sealed_config import load_run, load_run_plan
    from trm_cli.training.run_files import METRICS, PLAN, TIMINGS, read_identity
    from trm_cli.workflows.scores.evaluate import stored_evaluation

    check_copies(directory, observer.note if observer is not None else lambda _: None)
    resolved = load_run(directory)
    identity = read_identity(directory)
    plan = load_run_plan(directory)
    if plan is None:
        raise CheckpointError(f"{directory / PLAN} is missing or damaged: not a valid run directory")
    metrics, timings = _records(directory / METRICS), _records(directory / TIMINGS)
    evaluation = stored_evaluation(directory)
    if evaluation is None and evaluate is not None:
        from trm_cli.workflows.scores.evaluate import run_evaluation
        from trm_cli.workflows.scores.evaluation_subject import EvaluationRequest

        evaluation, _ = run_evaluation(EvaluationRequest(run=str(directory), limit=evaluate), observer)
    return RunRecord(
        directory=directory,
        model=resolved.config.model,
        architecture=resolved.config.arch.name,
        identity=identity,
        plan=plan.to_json(),
        metrics=metrics,
        timings=timings,
        evaluation=evaluation,
        config=dump_config(resolved),
        price_per_hour=resolved.config.price_per_hour,
    )


def _records(path: Path) -> list[dict[str, Any]]:
    from trm_cli.training.recording.metrics_log import read_records

    with reading(path):
        return read_records(path) if exists(path) else []
