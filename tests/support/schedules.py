"""A run configuration as plain values, so that these tests need no config loader."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from trm_cli.config.make_plan import make_plan
from trm_cli.schedule.clock import QUANTITIES
from trm_cli.schedule.plan import DatasetCounts, TrainingPlan

_STAGES = ("H_cycles", "L_cycles", "halt_max_steps", "averaging")


@dataclass(frozen=True)
class Arch:
    #: Depths and the average have tests of their own.
    scheduled: tuple[str, ...] = tuple(name for name in QUANTITIES if name not in _STAGES)


@dataclass(frozen=True)
class Settings:
    arch: Arch = field(default_factory=Arch)
    global_batch_size: int = 32
    epochs: int = 100
    step_rounding: str = "per_epoch"
    eval_interval: int = 10
    checkpoint_interval: int | None = None
    keep_every: int | None = None
    checkpoint_minutes: float | None = 15
    lr: float = 1e-4
    puzzle_emb_lr: float = 1e-2
    lr_min_ratio: float = 1.0
    lr_warmup_ratio: float | None = 0.04
    lr_warmup_steps: int | None = None
    expansion_penalty_schedule: str = "cosine"
    expansion_penalty_start: float = 0.1
    expansion_penalty_end: float = 0.001
    expansion_anneal_ratio: float | None = 0.5
    expansion_anneal_steps: int | None = None
    q_temperature_schedule: str = "exponential"
    q_temperature_start: float = 1.0
    q_temperature_end: float = 0.1
    q_temperature_anneal_ratio: float | None = 1.0
    q_temperature_anneal_steps: int | None = None
    dqn_warmup_ratio: float | None = 0.1
    dqn_warmup_steps: int | None = None
    epsilon_start: float = 0.3
    epsilon_end: float = 0.05
    epsilon_anneal_ratio: float = 0.5
    ema: bool = True
    ema_start_ratio: float = 0.0


def plan_of(samples: int | float | Fraction, **settings: object) -> TrainingPlan:
    """A plan over a dataset of so many groups with one example each."""
    return make_plan(Settings(**settings), DatasetCounts(1, Fraction(samples)))  # type: ignore[arg-type]


def spans(plan: TrainingPlan) -> dict[str, list[tuple[int, int]]]:
    """First and last step of every segment, by quantity."""
    return {q.name: [(s.start_step, s.end_step) for s in q.segments] for q in plan.quantities}
