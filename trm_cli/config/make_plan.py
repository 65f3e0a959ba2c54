"""Make the plan of a run from its configuration and the counts of its dataset."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from trm_cli.config.schema import RunConfig
from trm_cli.schedule import steps
from trm_cli.schedule.clock import declare
from trm_cli.schedule.plan import DatasetCounts, TrainingPlan
from trm_cli.schedule.plan_warnings import find_warnings
from trm_cli.schedule.steps import Number


def _scheduled(config: RunConfig) -> tuple[str, ...]:
    """The values that change in a run: those of its architecture, and when its average begins where that is late."""
    late = config.ema and config.ema_start_ratio > 0
    return (*config.arch.scheduled, "averaging") if late else config.arch.scheduled


class Counts(Protocol):
    """The counts of a dataset that a plan needs."""

    @property
    def total_groups(self) -> int:
        """Puzzles of the training split, each with all its augmentations."""

    @property
    def mean_puzzle_examples(self) -> Number:
        """Input/label pairs of a puzzle, on average."""

    @property
    def source(self) -> str:
        """Where the counts come from, for people."""


def make_plan(
    config: RunConfig, facts: Counts, *, test_split: bool = True, seconds_per_step: float | None = None
) -> TrainingPlan:
    """Plan a run from its configuration (any object with these keys) and the counts of its dataset.

    test_split: whether the dataset has one, so that the run evaluates. seconds_per_step, where it is known, lets the
    plan say how many hours of work a crash would cost.
    Raises ValueError, in a full sentence, for settings that make no plan.
    """
    facts = DatasetCounts(facts.total_groups, facts.mean_puzzle_examples, facts.source)
    samples = steps.samples_per_epoch(facts.total_groups, facts.mean_puzzle_examples)
    total = steps.total_steps(samples, config.global_batch_size, config.epochs, config.step_rounding)
    interval = config.checkpoint_interval
    plan = TrainingPlan(
        facts=facts,
        global_batch_size=config.global_batch_size,
        epochs=config.epochs,
        step_rounding=config.step_rounding,
        eval_interval=config.eval_interval,
        checkpoint_interval=config.eval_interval if interval is None else interval,
        quantities=declare(_scheduled(config), config, total),
        keep_every=config.keep_every,
        test_split=test_split,
        checkpoint_minutes=config.checkpoint_minutes,
    )
    return replace(plan, warnings=find_warnings(plan, seconds_per_step))
