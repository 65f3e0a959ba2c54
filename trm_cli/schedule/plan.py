"""TrainingPlan: the steps, scheduled values, evaluations and checkpoints of a run, known before it starts.

The training loop executes it and recounts nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

from trm_cli.schedule import steps
from trm_cli.schedule.cadence import Cadence, every_epochs
from trm_cli.schedule.clock import Clock
from trm_cli.schedule.curves import Quantity, Segment
from trm_cli.schedule.steps import Number, Rounding

SCHEMA_VERSION = 1
_LISTED_STEPS = 1000  # a JSON plan lists the evaluation steps up to this many; beyond, the rule alone


@dataclass(frozen=True)
class DatasetCounts:
    """The counts of a training split that decide how long an epoch is, and where they came from (for people)."""

    total_groups: int
    mean_puzzle_examples: Number
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        # A mean from JSON, from a builder or typed by hand is the same mean, however it was spelt.
        object.__setattr__(self, "mean_puzzle_examples", steps.mean_as_quotient(self.mean_puzzle_examples))


@dataclass(frozen=True)
class PlanWarning:
    """A warning about a plan: a stable code, a message, and the configuration key that causes it.

    level "warning" is about a run that will not do what its settings seem to say; "note" is worth knowing.
    """

    code: str
    message: str
    key: str = ""
    level: Literal["warning", "note"] = "warning"

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class TrainingPlan:
    """The plan of a run: what it does at each of its updates 1 .. total_steps.

    Two plans are equal when they do the same at the same steps, wherever their numbers came from and whatever there is
    to warn about. checkpoint_minutes, between checkpoints by the wall clock, is no step and stays out of it.
    test_split: whether the dataset has one; without it there is nothing to evaluate on.
    """

    facts: DatasetCounts
    global_batch_size: int
    epochs: int
    step_rounding: Rounding
    eval_interval: int
    checkpoint_interval: int
    quantities: tuple[Quantity, ...]
    keep_every: int | None = None
    test_split: bool = True
    checkpoint_minutes: float | None = field(default=None, compare=False)
    warnings: tuple[PlanWarning, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        for name in ("global_batch_size", "epochs", "eval_interval", "checkpoint_interval"):
            steps.require_positive(name, getattr(self, name))
        if self.keep_every is not None:
            steps.require_positive("keep_every", self.keep_every)

    @cached_property
    def samples_per_epoch(self) -> Fraction:
        """total_groups * mean_puzzle_examples, exactly."""
        return steps.samples_per_epoch(self.facts.total_groups, self.facts.mean_puzzle_examples)

    @cached_property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch. Under `whole_run` an epoch may hold one update more."""
        return steps.steps_per_epoch(self.samples_per_epoch, self.global_batch_size)

    @cached_property
    def total_steps(self) -> int:
        """Optimizer updates of the run."""
        return self._total(self.step_rounding)

    @property
    def other_rounding(self) -> Rounding:
        """The rule that is not in force."""
        return "whole_run" if self.step_rounding == "per_epoch" else "per_epoch"

    @cached_property
    def other_rounding_steps(self) -> int:
        """Updates that the rule not in force would give."""
        return self._total(self.other_rounding)

    @cached_property
    def eval_steps(self) -> Cadence | None:
        """Updates after which the test split is evaluated, ascending, the last step included; None without one."""
        return self._every(self.eval_interval) if self.test_split else None

    @cached_property
    def checkpoint_steps(self) -> Cadence:
        """Updates after which a planned checkpoint is written, ascending; the last step is one of them."""
        return self._every(self.checkpoint_interval)

    @cached_property
    def milestones(self) -> Cadence | None:
        """Updates after which a checkpoint is written that is never deleted, ascending; None: there are none."""
        return None if self.keep_every is None else self._every(self.keep_every)

    def values_at(self, step: int) -> Clock[float]:
        """Compute the clock at a global step; at total_steps it holds every end value exactly."""
        return Clock(**self.record_at(step))

    def record_at(self, step: int) -> dict[str, float]:
        """Compute the scheduled values of this run by name, as they are shown and logged."""
        return {quantity.name: quantity.at(step) for quantity in self.quantities}

    def is_eval(self, step: int) -> bool:
        """Return whether the run evaluates after this update."""
        return self.eval_steps is not None and step in self.eval_steps

    def is_checkpoint(self, step: int) -> bool:
        """Return whether a planned checkpoint follows this update."""
        return step in self.checkpoint_steps or self.is_milestone(step)

    def is_milestone(self, step: int) -> bool:
        """Return whether the checkpoint of this update is never deleted."""
        return self.milestones is not None and step in self.milestones

    def epoch_of_step(self, step: int) -> int:
        """Return the epoch, counted from 0, of the first sample of an update."""
        return steps.epoch_of_step(step, self.samples_per_epoch, self.global_batch_size, self.step_rounding)

    def step_at(self, text: str) -> int:
        """Read a step as people write it, "5000" or "50%" of the run; ValueError unless 0 .. total_steps."""
        word = text.strip().replace("_", "")
        share = steps.as_written(word.removesuffix("%"))
        step = steps.boundary(self.total_steps, share / 100) if word.endswith("%") else share
        if step != int(step) or not 0 <= step <= self.total_steps:
            raise ValueError(f"{text.strip()} is not a step of this run: 0 to {self.total_steps:,}, or 0% to 100%.")
        return int(step)

    def fingerprint(self) -> str:
        """Compute the sha256 of the canonical JSON of what the run does, as hexadecimal digits.

        Where a number came from, how it was written and what there is to warn about do not change it.
        """
        import hashlib  # loads OpenSSL, which a plan that is only shown does not need

        return hashlib.sha256(json.dumps(self._deeds(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Describe the plan as plain data; `from_json` reads it back to an equal plan."""
        document: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "fingerprint": self.fingerprint(),
            **self._deeds(),
        }
        document["dataset"]["source"] = self.facts.source
        document["checkpoints"]["minutes"] = self.checkpoint_minutes
        document["other_rounding"] = {"step_rounding": self.other_rounding, "total_steps": self.other_rounding_steps}
        for quantity, written in zip(self.quantities, document["quantities"], strict=True):
            for segment, entry in zip(quantity.segments, written["segments"], strict=True):
                entry |= {"written": segment.written, "key": segment.key}
                if segment.start_value == segment.end_value and segment.curve != "constant":
                    # What does not change is constant, whatever curve is declared; the fingerprint knows that one.
                    entry |= {"curve": "constant", "declared_curve": segment.curve}
        document["warnings"] = [asdict(warning) for warning in self.warnings]
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TrainingPlan:
        """Read a plan back; ValueError when it is of another version, incomplete, or contradicts itself."""
        version = document.get("schema_version")
        if version != SCHEMA_VERSION:
            raise ValueError(f"The plan has schema_version {version!r}; this program reads {SCHEMA_VERSION}.")
        try:
            dataset = document["dataset"]
            plan = cls(
                facts=DatasetCounts(
                    dataset["total_groups"], dataset["mean_puzzle_examples"], dataset.get("source", "")
                ),
                global_batch_size=document["global_batch_size"],
                epochs=document["epochs"],
                step_rounding=document["step_rounding"],
                eval_interval=document["evaluations"]["interval_epochs"],
                checkpoint_interval=document["checkpoints"]["interval_epochs"],
                quantities=tuple(read_quantity(entry) for entry in document["quantities"]),
                keep_every=document.get("milestones", {}).get("interval_epochs"),
                test_split=document["evaluations"].get("count") != 0,
                checkpoint_minutes=document["checkpoints"].get("minutes"),
                warnings=tuple(PlanWarning(**entry) for entry in document.get("warnings", ())),
            )
            counted = plan.total_steps
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"The plan is incomplete or of another shape ({type(error).__name__}: {error})."
            ) from error
        if counted != document["total_steps"]:
            raise ValueError(f"The plan says {document['total_steps']} steps, but its own counts give {counted}.")
        if document.get("fingerprint") != plan.fingerprint():
            raise ValueError("The plan was changed after it was written: its fingerprint does not fit.")
        return plan

    def _deeds(self) -> dict[str, Any]:
        deeds: dict[str, Any] = {
            "dataset": {
                "total_groups": self.facts.total_groups,
                "mean_puzzle_examples": _plain(self.facts.mean_puzzle_examples),
            },
            "global_batch_size": self.global_batch_size,
            "epochs": self.epochs,
            "step_rounding": self.step_rounding,
            "samples_per_epoch": _plain(self.samples_per_epoch),
            "steps_per_epoch": self.steps_per_epoch,
            "total_steps": self.total_steps,
            "evaluations": _cadence_json(self.eval_steps, self.eval_interval),
            "checkpoints": _cadence_json(self.checkpoint_steps, self.checkpoint_interval),
            "quantities": [_quantity_json(quantity) for quantity in self.quantities],
        }
        if self.milestones is not None:  # absent otherwise: a plan without them keeps the fingerprint that it had
            deeds["milestones"] = _cadence_json(self.milestones, self.keep_every or 0)
        return deeds

    def _total(self, rounding: Rounding) -> int:
        return steps.total_steps(self.samples_per_epoch, self.global_batch_size, self.epochs, rounding)

    def _every(self, interval: int) -> Cadence:
        return every_epochs(
            interval, self.samples_per_epoch, self.global_batch_size, self.step_rounding, self.total_steps
        )


def read_quantity(entry: Mapping[str, Any]) -> Quantity:
    """Read a quantity of a plan's JSON document."""
    declared = ({**one, "curve": one.get("declared_curve", one["curve"])} for one in entry["segments"])
    segments = ({name: value for name, value in one.items() if name != "declared_curve"} for one in declared)
    return Quantity(entry["name"], tuple(Segment(**one) for one in segments), entry["unit"])


def _quantity_json(quantity: Quantity) -> dict[str, Any]:
    segments = [
        {
            "curve": segment.curve,
            "start_value": float(segment.start_value),
            "end_value": float(segment.end_value),
            "start_step": segment.start_step,
            "end_step": segment.end_step,
        }
        for segment in quantity.segments
    ]
    return {"name": quantity.name, "unit": quantity.unit, "segments": segments}


def _cadence_json(cadence: Cadence | None, interval: int) -> dict[str, Any]:
    if cadence is None:
        return {"interval_epochs": interval, "count": 0, "first": None, "steps": []}
    listed = list(cadence) if len(cadence) <= _LISTED_STEPS else None
    return {"interval_epochs": interval, "count": len(cadence), "first": cadence[0], "steps": listed}


def _plain(number: Number) -> int | float | str:
    """Convert a number to JSON without losing a digit: an int, else a float that reads back, else text."""
    exact = steps.as_written(number)
    if exact.denominator == 1:
        return int(exact)
    return float(exact) if steps.mean_as_quotient(float(exact)) == steps.mean_as_quotient(exact) else str(exact)
