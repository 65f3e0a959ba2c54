"""The configuration keys that a plan reads, as protocols: any object with these attributes will do."""

from __future__ import annotations

from typing import Protocol

from trm_cli.schedule.steps import Rounding


class Scheduled(Protocol):
    """An architecture, as far as schedules see it."""

    @property
    def scheduled(self) -> tuple[str, ...]:
        """Names of the quantities that it reads."""


class RunSettings(Protocol):
    """What a plan needs: how long the run is, and how often it evaluates and saves.

    The keys of the scheduled values are named where those are declared (`clock`).
    """

    @property
    def arch(self) -> Scheduled:
        """The architecture, which says what it reads of the clock."""

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
