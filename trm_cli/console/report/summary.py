"""What the page says in numbers and words: its headlines and the facts of the run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trm_cli import __version__
from trm_cli.console.views.evaluation import interval, percent, protocol_line, weights_line
from trm_cli.units import duration

if TYPE_CHECKING:
    from trm_cli.workflows.report import RunRecord


@dataclass(frozen=True)
class Headline:
    """A number that the page begins with."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Report:
    """What there is to show of a run; evaluation None: it was never evaluated by `trm evaluate`."""

    title: str
    subtitle: str
    headlines: Sequence[Headline]
    metrics: Sequence[Mapping[str, Any]]
    plan: Mapping[str, Any]
    evaluation: Mapping[str, Any] | None
    facts: Sequence[tuple[str, str]]
    config: str


def report_of(record: RunRecord) -> Report:
    """The page's content."""
    plan = record.plan
    return Report(
        title=record.directory.resolve().name,
        subtitle=f"{record.model}, architecture {record.architecture}: {plan['samples_per_epoch']:,} samples x "
        f"{plan['epochs']:,} epochs, batch {plan['global_batch_size']:,}",
        headlines=list(_headlines(record)),
        metrics=record.metrics,
        plan=plan,
        evaluation=record.evaluation,
        facts=list(_facts(record)),
        config=record.config,
    )


def _headlines(record: RunRecord) -> Iterator[Headline]:
    plan, metrics, evaluation = record.plan, record.metrics, record.evaluation
    tests = [one for one in metrics if one.get("kind") == "eval"]
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
    done = max((one["step"] for one in metrics), default=0)
    yield Headline("updates", f"{done:,}", f"of {plan['total_steps']:,} planned")
    if record.training_seconds is not None:
        seconds, rate = record.training_seconds
        yield Headline("training time", duration(seconds), f"{rate:,.0f} samples a second")


def _facts(record: RunRecord) -> Iterator[tuple[str, str]]:
    identity, plan, evaluation = record.identity, record.plan, record.evaluation
    yield "run", f"{record.directory} ({identity['run']})"
    yield "dataset", str(plan["dataset"]["source"])
    yield "fingerprint", str(identity["dataset"]["fingerprint"])[:16]
    yield "steps", f"{plan['steps_per_epoch']:,} an epoch, rounding {plan['step_rounding']}"
    yield "plan", str(plan["fingerprint"])[:16]
    yield "CPU threads", str(identity["threads"])
    evaluations = [one["evaluation_seconds"] for one in record.timings if "evaluation_seconds" in one]
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
