"""The figures and facts that a report of a run states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trm_cli.console.views.runs.evaluation import interval, kind_figures, percent, weights_line
from trm_cli.console.views.runs.forecast import energy
from trm_cli.evaluation.protocol import protocol_line
from trm_cli.units import duration
from trm_cli.version import __version__

if TYPE_CHECKING:
    from trm_cli.workflows.scores.report import RunRecord


@dataclass(frozen=True)
class Headline:
    """One of the figures at the top of a report."""

    label: str
    value: str
    note: str = ""


def title_of(record: RunRecord) -> str:
    """Name the run."""
    return record.directory.resolve().name


def subtitle_of(record: RunRecord) -> str:
    """Describe the model and the length of the run in one line."""
    plan = record.plan
    size = f"{plan['samples_per_epoch']:,} samples x {plan['epochs']:,} epochs, batch {plan['global_batch_size']:,}"
    return f"{record.model}, architecture {record.architecture}: {size}"


def headlines(record: RunRecord) -> Iterator[Headline]:
    """Yield the most important figures of a run."""
    plan, metrics, evaluation = record.plan, record.metrics, record.evaluation
    tests = [one for one in metrics if one.get("kind") == "eval"]
    if evaluation is not None:
        exact, token = evaluation["exact"], evaluation["token"]
        kinds = evaluation.get("by_kind", {})
        for name, value, note in kind_figures(kinds):
            yield Headline(name, value, note.strip())
        passed = {one["k"]: one for one in evaluation.get("arc", {}).get("pass", [])}
        if 2 in passed:
            yield Headline(
                "pass@2", percent(passed[2]["value"]), f"{interval(passed[2])}, {passed[2]['count']:,} tasks"
            )
        if not kinds:
            yield Headline("exact accuracy", percent(exact["value"]), f"{interval(exact)}, {exact['count']:,} rows")
            yield Headline("token accuracy", percent(token["value"]), interval(token))
    elif tests:
        yield from _trained(tests[-1])
    done = max((one["step"] for one in metrics), default=0)
    yield Headline("updates", f"{done:,}", f"of {plan['total_steps']:,} planned")
    if record.training_seconds is not None:
        seconds, rate = record.training_seconds
        yield Headline("training time", duration(seconds), f"{rate:,.0f} samples a second")


def _trained(last: Mapping[str, Any]) -> Iterator[Headline]:
    """Yield what the last evaluation of a training says, kind by kind."""
    if last.get("judged_by", "exact_accuracy") == "exact_accuracy":
        yield Headline("exact accuracy", percent(last["exact_accuracy"]), f"{last['count']:,} puzzles")
        yield Headline("token accuracy", percent(last["token_accuracy"]), "")
    if last.get("picture_rows"):
        yield Headline("pictures", f"class {percent(last['picture_accuracy'])}", f"{last['picture_rows']:,} pictures")
    if last.get("text_rows"):
        unit = "token" if last["bits_per_byte"] is None else "byte"
        yield Headline("text", f"{last[f'bits_per_{unit}']:.3f} bits per {unit}", f"{last['text_rows']:,} texts")


def run_facts(record: RunRecord) -> Iterator[tuple[str, str]]:
    """Yield the name and the value of each fact about a run."""
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
    yield from _cost(record)
    if evaluation is not None:
        dataset = evaluation["dataset"]
        yield "evaluated on", f"{', '.join(evaluation['paths'])} ({dataset['split']}), {dataset['fingerprint'][:16]}"
        yield "protocol", protocol_line(evaluation["protocol"])
        weights, digest = weights_line(evaluation).rsplit(", ", 1)
        yield "weights", weights
        yield "checkpoint", digest
        yield "versions", ", ".join(f"{name} {version}" for name, version in evaluation["versions"].items())
    yield "report by", f"trm {__version__}"


def _cost(record: RunRecord) -> Iterator[tuple[str, str]]:
    """Yield what the run took, and what was foreseen."""
    if (took := record.took) is not None:
        parts = [duration(took.seconds), f"{duration(took.processor)} of processor time"]
        parts += [] if took.joules is None else [energy(took.joules)]
        if record.price_per_hour is not None:
            parts.append(f"price {record.price_per_hour * took.seconds / 3600:,.2f}")
        yield "took", ", ".join(parts)
    if (foreseen := record.forecast) is not None:
        low, likely, high = (duration(foreseen["seconds"][name]) for name in ("low", "likely", "high"))
        processor = (
            "" if foreseen["cpu_seconds"] is None else f", {duration(foreseen['cpu_seconds'])} of processor time"
        )
        yield "forecast", f"{likely} ({low} to {high}){processor}; {foreseen['source']}"
