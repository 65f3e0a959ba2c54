"""The training state: all that the next update depends on, and its conversion to and from a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from trm_cli.data.puzzles.identifier_map import IdentifierMap
from trm_cli.errors import CheckpointError, first_line
from trm_cli.models.network import Network
from trm_cli.models.supervision.carry import Carry
from trm_cli.training.distributed.sharding import shard_state, shard_weights
from trm_cli.training.hardware.async_host_copy import AsyncHostCopy
from trm_cli.training.optimizers.eager import EagerOptimizer
from trm_cli.training.optimizers.sign_sgd import SignSGD
from trm_cli.training.state.ema import EMA
from trm_cli.training.state.loss_scale import LossScale
from trm_cli.training.state.puzzle_table import TABLE, move_rows
from trm_cli.training.state.state_migration import STATE_FORMAT, migrate
from trm_cli.training.state.sums import RunningSums
from trm_cli.training.state.update_check import UpdateCheck

#: The fields that are numbers, and stand in a checkpoint as they are.
_NUMBERS = ("step", "evaluated_step", "best_step", "best_score", "skipped", "skipped_in_a_row")


@dataclass
class TrainingState:
    """The state of a run after `step` updates. Everything else is a function of config, dataset and step."""

    model: Network
    trunk_optimizer: EagerOptimizer
    #: Sign-SGD has no state of its own: the table is part of the model.
    puzzle_optimizer: SignSGD | None
    ema: EMA | None
    #: Parameter groups of the trunk whose gradients are measured and clipped each by itself.
    groups: dict[str, list[nn.Parameter]]
    #: Needed by float16 alone: small gradients would underflow unscaled.
    scaler: LossScale | None = None
    #: Whether each process holds only a shard of the trunk (FSDP2).
    sharded: bool = False
    carry: Carry | None = None
    step: int = 0
    #: The last step whose evaluation is complete; a run stopped during an evaluation repeats it.
    evaluated_step: int = 0
    best_step: int = 0
    #: `Accuracy.score` of the best step.
    best_score: float = -1.0
    #: Updates that changed no weight, and how many of the last ones did so because of numbers that were not finite.
    skipped: int = 0
    skipped_in_a_row: int = 0
    #: Sums of metrics since the last logged record: part of the state, or a resumed run would log other numbers.
    sums: RunningSums = field(default_factory=RunningSums)
    #: Finite-check of the last update, until `step.settle` has read it; always None when saved.
    update_check: UpdateCheck | None = None
    #: Halted flags of the last update, one async host copy per micro-batch; None on the CPU, where they are read
    #: directly.
    halted: tuple[AsyncHostCopy, ...] | None = None
    #: What the rows of the puzzle table stand for; None without a table, or where unknown.
    identifiers: IdentifierMap | None = None

    def trunk_parameters(self) -> list[nn.Parameter]:
        """The parameters of the main optimizer, in its order."""
        return [parameter for group in self.trunk_optimizer.param_groups for parameter in group["params"]]

    @property
    def table(self) -> nn.Parameter | None:
        """The puzzle table, where there is one."""
        return None if self.puzzle_optimizer is None else self.puzzle_optimizer.table

    def state_dict(self, *, with_carry: bool = True) -> dict[str, Any]:
        """Plain nested dicts of tensors, numbers and strings, loadable with `weights_only=True`."""
        return {
            "format": STATE_FORMAT,
            **{name: getattr(self, name) for name in _NUMBERS},
            "model": self.model.state_dict(),
            "trunk_optimizer": self.trunk_optimizer.state_dict(),
            "ema": self.ema.state_dict() if self.ema else None,
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "carry": self.carry.state_dict() if self.carry is not None and with_carry else None,
            "sums": dict(self.sums),
            "identifiers": _plain(self.identifiers),
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Load a saved state. Raises CheckpointError when it does not fit this model."""
        state = migrate(state)
        with fitting():
            if self.sharded:
                state = shard_state(state, self.model, self.trunk_parameters())
            self.model.load_state_dict(state["model"])
            self._load_optimizer(state["trunk_optimizer"])
            if self.ema:
                self.ema.load_state_dict(state["ema"])
            if self.scaler and state["scaler"]:
                self.scaler.load_state_dict(state["scaler"])
        saved = state["carry"]
        self.carry = None if saved is None else Carry(**saved).to(device, self.model.dtype)
        self.sums = RunningSums({name: value.to(device) for name, value in state["sums"].items()})
        for name in _NUMBERS:
            setattr(self, name, state[name])

    def _load_optimizer(self, saved: dict[str, Any]) -> None:
        """Load the moments; weight decay and betas stay as this run is configured."""
        groups = self.trunk_optimizer.param_groups
        # The learning rate is of the clock: every update sets it.
        own = [{key: value for key, value in group.items() if key not in ("params", "lr")} for group in groups]
        self.trunk_optimizer.load_state_dict(saved)
        for group, settings in zip(self.trunk_optimizer.param_groups, own, strict=True):
            group.update(settings)

    def load_weights(
        self, state: dict[str, Any], *, same_rows: bool, zero_rows: bool = False, averaged: bool = False
    ) -> int:
        """Load only the weights. same_rows: the puzzle table stands for the same puzzles; else rows are mapped by name.

        A row without a match begins with the mean of all rows, as in the original code, or where `zero_rows` with
        zeros. averaged: the model takes the average as well. Returns how many rows were matched. Raises CheckpointError
        when the weights do not fit this model.
        """
        state = migrate(state)
        weights, known = dict(state["model"]), 0
        average = state["ema"] or weights
        if averaged:
            weights.update(average)
        with fitting():
            if self.model.puzzle_embedding is not None and TABLE in weights and not same_rows:
                before, now = _read(state["identifiers"]), self.identifiers
                rows = None if before is None or now is None else before.rows_for(now)
                moved = move_rows(weights[TABLE], rows, len(self.model.state_dict()[TABLE]), zero=zero_rows)
                weights[TABLE], known = moved.table, moved.known
            self.model.load_state_dict(shard_weights(weights, self.model))
            if self.ema:
                trunk = {name: average[name] for name in self.ema.state_dict()}
                self.ema.load_state_dict(shard_weights(trunk, self.model))
        return known


@contextmanager
def fitting() -> Iterator[None]:
    """Turn what torch raises for tensors of another model into CheckpointError."""
    try:
        yield
    except (RuntimeError, LookupError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"the checkpoint does not fit this model: {first_line(error)}",
            hint="resume with the configuration that the run was started with: `trm resume RUN`",
        ) from error


def _plain(identifiers: IdentifierMap | None) -> dict[str, Any] | None:
    if identifiers is None:
        return None
    return {
        "names": list(identifiers.names),
        "owners": torch.from_numpy(identifiers.owners),
        "codes": torch.from_numpy(identifiers.codes),
    }


def _read(identifiers: dict[str, Any] | None) -> IdentifierMap | None:
    if identifiers is None:
        return None
    return IdentifierMap(tuple(identifiers["names"]), identifiers["owners"].numpy(), identifiers["codes"].numpy())
