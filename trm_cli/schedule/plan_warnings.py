"""Find what is wrong or surprising in a plan."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from trm_cli.schedule.curves import Quantity, Segment
from trm_cli.schedule.plan import PlanWarning, TrainingPlan
from trm_cli.schedule.steps import boundary

HOURS_AT_RISK = 2.0
_NOTABLE_DIFFERENCE = Fraction(1, 100)


def find_warnings(plan: TrainingPlan, seconds_per_step: float | None) -> tuple[PlanWarning, ...]:
    """List the warnings about a plan, then the notes, each once."""
    found = [*_about_steps(plan), *_about_cadence(plan), *_about_risk(plan, seconds_per_step)]
    for quantity in plan.quantities:
        found += _about_quantity(quantity, plan.total_steps)
    # Both learning rates share their keys: one remark for each, not two.
    unique: dict[tuple[str, str], PlanWarning] = {}
    for remark in found:
        unique.setdefault((remark.code, remark.key), remark)
    return tuple(sorted(unique.values(), key=lambda remark: remark.level == "note"))


def _about_steps(plan: TrainingPlan) -> Iterator[PlanWarning]:
    if plan.global_batch_size > plan.samples_per_epoch:
        yield PlanWarning(
            "batch_larger_than_epoch",
            f"A batch of {plan.global_batch_size:,} is larger than an epoch of {float(plan.samples_per_epoch):,.10g} "
            "samples: a batch holds some samples more than once.",
            "global_batch_size",
        )
    difference = Fraction(plan.other_rounding_steps - plan.total_steps, plan.total_steps)
    if abs(difference) > _NOTABLE_DIFFERENCE:
        yield PlanWarning(
            "rounding",
            f"step_rounding {plan.step_rounding} gives {plan.total_steps:,} steps; {plan.other_rounding} would give "
            f"{plan.other_rounding_steps:,} ({100 * float(difference):+.1f} %).",
            "step_rounding",
        )


def _about_cadence(plan: TrainingPlan) -> Iterator[PlanWarning]:
    if not plan.test_split:
        yield PlanWarning(
            "no_test_split",
            "The dataset has no test split: nothing is evaluated, and no checkpoint is the best.",
            "data_paths_test",
        )
    elif plan.eval_interval > plan.epochs:
        yield PlanWarning(
            "evaluates_only_at_the_end",
            f"eval_interval is {plan.eval_interval:,} epochs and the run has {plan.epochs:,}: "
            "it is evaluated once, after its last step.",
            "eval_interval",
        )
    elif plan.epochs % plan.eval_interval:
        yield PlanWarning(
            "last_interval_is_shorter",
            f"The last evaluation comes {plan.epochs % plan.eval_interval:,} epochs after the one before it, "
            f"not {plan.eval_interval:,}: eval_interval does not divide {plan.epochs:,} epochs.",
            "eval_interval",
            "note",
        )


def _about_risk(plan: TrainingPlan, seconds_per_step: float | None) -> Iterator[PlanWarning]:
    minutes = plan.checkpoint_minutes
    # Whichever comes first writes the next checkpoint: the planned step or the clock.
    hours: list[tuple[float, str]] = []
    if minutes is not None:
        hours.append((minutes / 60, "checkpoint_minutes"))
    if seconds_per_step is not None:
        hours.append((plan.checkpoint_steps.longest_gap * seconds_per_step / 3600, "checkpoint_interval"))
    if hours and min(hours)[0] > HOURS_AT_RISK:
        lost, key = min(hours)
        yield PlanWarning(
            "work_at_risk", f"A crash between two checkpoints costs up to {lost:,.1f} hours of work.", key
        )
    elif minutes is None and len(plan.checkpoint_steps) == 1 and plan.keep_every is None:
        yield PlanWarning(
            "saves_only_at_the_end",
            f"The only planned checkpoint is the last step: checkpoint_interval is {plan.checkpoint_interval:,} epochs "
            f"of {plan.epochs:,}, and checkpoint_minutes is off.",
            "checkpoint_interval",
        )


def _about_quantity(quantity: Quantity, total: int) -> Iterator[PlanWarning]:
    for segment in quantity.segments:
        if segment.end_step > total:
            yield PlanWarning(
                "never_finishes",
                f"{segment.written} is more than the run has: {quantity.name} stops at {quantity.at(total):.6g} "
                f"after {total:,} steps and never reaches {segment.end_value:.6g}.",
                segment.key,
            )
        if segment.end_step == 0 and not _says_zero(segment):
            yield PlanWarning(
                "no_length",
                f"{segment.written} of {total:,} steps is less than one step: "
                f"{quantity.name} has its end value from the first step.",
                segment.key,
            )
        if segment.key.endswith("_steps"):
            yield _older_key(segment, total)
    if quantity.name in ("lr", "puzzle_emb_lr"):
        yield from _about_decay(quantity, total)


def _about_decay(quantity: Quantity, total: int) -> Iterator[PlanWarning]:
    warmup, last = quantity.segments[0], quantity.segments[-1]
    if len(quantity.segments) == 1 and warmup.end_step == total:
        yield PlanWarning(
            "warmup_is_the_run",
            f"{warmup.written} is the whole run: the learning rate rises until the last step and never decays.",
            warmup.key,
        )
    elif len(quantity.segments) > 1 and last.start_value == last.end_value:
        yield PlanWarning(
            "flat",
            f"{last.written} keeps the learning rate constant after the warm-up.",
            last.key,
            "note",
        )


def _says_zero(segment: Segment) -> bool:
    """Return whether the configuration sets the length of a phase to 0 on purpose."""
    return float(segment.written.rpartition(" ")[2]) == 0.0


def _older_key(segment: Segment, total: int) -> PlanWarning:
    ratio_key = segment.key.removesuffix("_steps") + "_ratio"
    if segment.end_step > total:
        advice = f"it does not follow the length of the run, as {ratio_key} does"
    else:
        advice = f"{ratio_key}={equal_ratio(segment.end_step, total)} says the same and follows the length of the run"
    return PlanWarning("older_key", f"{segment.key} is the older way to write this; {advice}.", segment.key, "note")


def equal_ratio(step: int, total: int) -> str:
    """Find the shortest decimal r with floor(total * r) == step, for 0 <= step <= total."""
    for digits in range(len(str(total)) + 2):
        # The smallest decimal of so many digits that is not below step / total.
        scaled = -(-step * 10**digits // total)
        if boundary(total, Fraction(scaled, 10**digits)) == step:
            whole, part = divmod(scaled, 10**digits)
            return f"{whole}.{part:0{digits}d}" if digits else str(whole)
    raise ValueError(f"{step} is not a step of a run of {total}.")
