"""Compare two plans."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

from trm_cli.schedule.curves import Quantity, Segment
from trm_cli.schedule.plan import TrainingPlan

Side = int | float | str | Segment | None


@dataclass(frozen=True)
class Comparison:
    """One property of two plans; None on the side that lacks it."""

    what: str
    left: Side
    right: Side

    @property
    def differs(self) -> bool:
        """Return whether the plans disagree here."""
        return self.left != self.right


def compare(left: TrainingPlan, right: TrainingPlan) -> tuple[Comparison, ...]:
    """Compare every property of two plans; equal plans differ nowhere."""
    rows = [Comparison(what, one, other) for (what, one), (_, other) in zip(_counts(left), _counts(right), strict=True)]
    ours, theirs = ({quantity.name: quantity for quantity in plan.quantities} for plan in (left, right))
    for name in (*ours, *(name for name in theirs if name not in ours)):
        rows += [
            Comparison(name, one, other)
            for one, other in zip_longest(_segments(ours.get(name)), _segments(theirs.get(name)))
        ]
    return tuple(rows)


def _counts(plan: TrainingPlan) -> list[tuple[str, int | float | str]]:
    return [
        ("samples per epoch", float(plan.samples_per_epoch)),
        ("epochs", plan.epochs),
        ("batch", plan.global_batch_size),
        ("rounding", plan.step_rounding),
        ("steps per epoch", plan.steps_per_epoch),
        ("total steps", plan.total_steps),
        ("evaluations", 0 if plan.eval_steps is None else len(plan.eval_steps)),
        ("evaluates every (steps)", "never" if plan.eval_steps is None else float(plan.eval_steps.gap)),
        ("checkpoints", len(plan.checkpoint_steps)),
        ("saves every (steps)", float(plan.checkpoint_steps.gap)),
    ]


def _segments(quantity: Quantity | None) -> tuple[Segment, ...]:
    return quantity.segments if quantity else ()
