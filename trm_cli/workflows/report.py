"""What a run's own files say about it, for its report. Nothing here needs torch, unless an evaluation is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.errors import CheckpointError
from trm_cli.schedule.curves import Quantity, Segment

if TYPE_CHECKING:
    from trm_cli.console.report.page import Headline, Report

Records = Sequence[Mapping[str, Any]]


def collect(directory: Path, evaluate: int | None) -> Report:
    """Read a run directory. evaluate: puzzles to evaluate where no evaluation is stored. Raises TrmError."""
    from trm_cli.config.compose import load_run_config
    from trm_cli.console.report.page import Report
    from trm_cli.training.run.run_directory import RunDirectory
    from trm_cli.training.run_files import PLAN, read_identity
    from trm_cli.workflows.evaluate import stored_evaluation

    run = RunDirectory(directory)
    config = load_run_config(directory).config
    identity = read_identity(run.path)
    plan = _plan(directory / PLAN)
    metrics, timings = _records(run.metrics_path), _records(run.timings_path)
    evaluation = stored_evaluation(directory)
    if evaluation is None and evaluate is not None:
        from trm_cli.workflows.evaluate import run_evaluation
        from trm_cli.workflows.evaluation_subject import EvaluationRequest

        evaluation, _ = run_evaluation(EvaluationRequest(run=str(directory), limit=evaluate))
    samples = plan["samples_per_epoch"]
    return Report(
        title=directory.resolve().name,
        subtitle=f"{config.model}, architecture {config.arch.name}: {samples:,} samples x {plan['epochs']:,} epochs, "
        f"batch {plan['global_batch_size']:,}",
        headlines=list(_headlines(plan, metrics, timings, evaluation)),
        metrics=metrics,
        plan=plan,
        evaluation=evaluation,
        facts=list(_facts(directory, identity, plan, metrics, timings, evaluation)),
        config=run.config_path.read_text(encoding="utf-8"),
    )


def _plan(path: Path) -> dict[str, Any]:
    try:
        plan: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        Quantity(plan["quantities"][0]["name"], tuple(Segment(**one) for one in plan["quantities"][0]["segments"]))
        int(plan["total_steps"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CheckpointError(f"{path} is missing or damaged: not a valid run directory") from error
    return plan


def _records(path: Path) -> list[dict[str, Any]]:
    from trm_cli.training.recording.metrics_log import read_records

    return read_records(path) if path.exists() else []


def _headlines(
    plan: Mapping[str, Any], metrics: Records, timings: Records, evaluation: Mapping[str, Any] | None
) -> Iterator[Headline]:
    from trm_cli.console.report.page import Headline
    from trm_cli.console.views.evaluation import interval, percent
    from trm_cli.units import duration

    tests = [record for record in metrics if record.get("kind") == "eval"]
    if evaluation is not None:
        exact, token = evaluation["exact"], evaluation["token"]
        passed = {one["k"]: one for one in evaluation.get("arc", {}).get("pass", [])}
        if 2 in passed:
            yield Headline(
                "pass@2", percent(passed[2]["value"]), f"{interval(passed[2])}, {passed[2]['count']:,} tasks"
            )
        yield Headline("exact accuracy", percent(exact["value"]), f"{interval(exact)}, {exact['count']:,} rows")
        yield Headline("token accuracy", percent(token["value"]), interval(token))
    elif tests:
        last = tests[-1]
        yield Headline("exact accuracy", percent(last["exact_accuracy"]), f"{last['count']:,} rows")
        yield Headline("token accuracy", percent(last["token_accuracy"]), "")
    done = max((record["step"] for record in metrics), default=0)
    yield Headline("updates", f"{done:,}", f"of {plan['total_steps']:,} planned")
    seconds, rate = _time(plan, timings)
    if seconds is not None:
        yield Headline("training time", duration(seconds), f"{rate:,.0f} samples a second")


def _time(plan: Mapping[str, Any], timings: Records) -> tuple[float | None, float]:
    """Seconds of the logged updates and the samples a second they came to."""
    logged = [(record["step"], record["samples_per_second"]) for record in timings if record.get("samples_per_second")]
    if not logged:
        return None, 0.0
    steps = [step for step, _ in logged]
    samples = [(now - before) * plan["global_batch_size"] for before, now in zip([0, *steps], steps, strict=False)]
    seconds = sum(amount / rate for amount, (_, rate) in zip(samples, logged, strict=True))
    return seconds, sum(samples) / seconds


def _facts(
    directory: Path,
    identity: Mapping[str, Any],
    plan: Mapping[str, Any],
    metrics: Records,
    timings: Records,
    evaluation: Mapping[str, Any] | None,
) -> Iterator[tuple[str, str]]:
    from trm_cli import __version__
    from trm_cli.console.views.evaluation import protocol_line, weights_line
    from trm_cli.units import duration

    del metrics
    yield "run", f"{directory} ({identity['run']})"
    yield "dataset", str(plan["dataset"]["source"])
    yield "fingerprint", str(identity["dataset"]["fingerprint"])[:16]
    yield "steps", f"{plan['steps_per_epoch']:,} an epoch, rounding {plan['step_rounding']}"
    yield "plan", str(plan["fingerprint"])[:16]
    yield "CPU threads", str(identity["threads"])
    evaluations = [record["evaluation_seconds"] for record in timings if "evaluation_seconds" in record]
    if evaluations:
        yield "evaluations", f"{len(evaluations)} during training, {duration(sum(evaluations))}"
    if evaluation is not None:
        dataset = evaluation["dataset"]
        yield "evaluated on", f"{', '.join(evaluation['paths'])} ({dataset['split']}), {dataset['fingerprint'][:16]}"
        yield "protocol", protocol_line(evaluation)
        weights, digest = weights_line(evaluation).rsplit(", ", 1)
        yield "weights", weights
        yield "checkpoint", digest
        yield "versions", ", ".join(f"{name} {version}" for name, version in evaluation["versions"].items())
    yield "report by", f"trm {__version__}"
