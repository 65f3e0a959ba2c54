"""The configuration keys that schedules and plans read, as protocols: any object with these attributes will do."""

from __future__ import annotations

from typing import Protocol

from trm_cli.schedule.steps import Rounding


class Annealed(Protocol):
    """The configuration keys that schedules read; a ratio is a share of total_steps, 0 to 1.

    Of a ratio and its older key in steps, exactly one is a number and the other is None.
    """

    @property
    def lr(self) -> float:
        """Base learning rate of the trunk."""

    @property
    def puzzle_emb_lr(self) -> float:
        """Base learning rate of the puzzle table."""

    @property
    def lr_min_ratio(self) -> float:
        """The share of the base rate that is left at the end; 1 keeps it constant after the warm-up."""

    @property
    def lr_warmup_ratio(self) -> float | None:
        """Share of the run over which the learning rates rise from 0."""

    @property
    def lr_warmup_steps(self) -> int | None:
        """The same in steps (older)."""

    @property
    def expansion_penalty_schedule(self) -> str:
        """Name of a curve."""

    @property
    def expansion_penalty_start(self) -> float:
        """Price of an EXPAND action at the start."""

    @property
    def expansion_penalty_end(self) -> float:
        """Price of an EXPAND action at the end."""

    @property
    def expansion_anneal_ratio(self) -> float | None:
        """Share of the run over which the price is annealed."""

    @property
    def expansion_anneal_steps(self) -> int | None:
        """The same in steps (older)."""

    @property
    def q_temperature_schedule(self) -> str:
        """Name of a curve."""

    @property
    def q_temperature_start(self) -> float:
        """Temperature of Boltzmann sampling at the start."""

    @property
    def q_temperature_end(self) -> float:
        """Temperature of Boltzmann sampling at the end."""

    @property
    def q_temperature_anneal_ratio(self) -> float | None:
        """Share of the run over which the temperature is annealed."""

    @property
    def q_temperature_anneal_steps(self) -> int | None:
        """The same in steps (older)."""

    @property
    def dqn_warmup_ratio(self) -> float | None:
        """Share of the run in which Q-gradients do not reach the trunk."""

    @property
    def dqn_warmup_steps(self) -> int | None:
        """The same in steps (older)."""

    @property
    def epsilon_start(self) -> float:
        """Share of random actions at the start."""

    @property
    def epsilon_end(self) -> float:
        """Share of random actions at the end."""

    @property
    def epsilon_anneal_ratio(self) -> float:
        """Share of the run over which exploration is annealed."""


class Scheduled(Protocol):
    """An architecture, as far as schedules see it."""

    @property
    def scheduled(self) -> tuple[str, ...]:
        """Names of the quantities that it reads."""


class ScheduleSettings(Annealed, Protocol):
    """A run configuration: the schedule keys and the architecture that says which of them it reads."""

    @property
    def arch(self) -> Scheduled:
        """The architecture."""


class RunSettings(ScheduleSettings, Protocol):
    """What a whole plan needs on top: how long the run is, and how often it stops to look and to save."""

    @property
    def global_batch_size(self) -> int:
        """Samples in one update, over all processes."""

    @property
    def epochs(self) -> int:
        """Passes over the dataset."""

    @property
    def step_rounding(self) -> Rounding:
        """How samples become steps; see `steps`."""

    @property
    def eval_interval(self) -> int:
        """Epochs between evaluations."""

    @property
    def checkpoint_interval(self) -> int | None:
        """Epochs between planned checkpoints; None takes eval_interval."""

    @property
    def keep_every(self) -> int | None:
        """Epochs between checkpoints that are never deleted; None: there are none."""

    @property
    def checkpoint_minutes(self) -> float | None:
        """Minutes of wall clock between checkpoints besides the planned ones; None writes only those."""
