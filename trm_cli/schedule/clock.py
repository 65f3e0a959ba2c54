"""Declare every scheduled value once, and the `Clock` that holds their values at a step.

The table, the plots, the JSON and the numbers that the training loop uses are all read from this list. A value is added
by a field here, its keys in `config/schema.py` and their lines in `configs/cfg_pretrain.yaml`; an architecture names
the values that it reads (`scheduled`).
"""

# ruff: noqa: RUF009 - the defaults of these fields are made by a function: number, unit and declaration in one
from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

from trm_cli.schedule.curves import Quantity
from trm_cli.schedule.declarations import Declaration, anneal, stages, switch, warm_up_and_decay

Number = TypeVar("Number", covariant=True)
Other = TypeVar("Other")


def _scheduled(settled: float, unit: str, declaration: Declaration, *, host: bool = False) -> Any:
    """A value, `settled` where no run is: after every schedule has ended. host: read by the host, never a tensor."""
    return field(default=settled, metadata={"unit": unit, "declaration": declaration, "host": host})


def _depth(name: str, start: str, unit: str) -> Any:
    """A depth of the architecture that may begin elsewhere; 0: as the architecture states it."""
    return _scheduled(0.0, unit, stages(name, start), host=True)


@dataclass(frozen=True)
class Clock(Generic[Number]):
    """The scheduled values at one step: floats in a plan, 0-dim tensors on the device in a training step.

    A value that the architecture does not read is settled. `SETTLED` is what an evaluation uses: no chance, no price,
    and a Q-network that has learnt.
    """

    #: Learning rate of the trunk.
    lr: Number = _scheduled(0.0, "per update", warm_up_and_decay("lr"))
    #: Learning rate of the puzzle table.
    puzzle_emb_lr: Number = _scheduled(0.0, "per update", warm_up_and_decay("puzzle_emb_lr"))
    #: Cost of opening one child by EXPAND.
    expansion_penalty: Number = _scheduled(
        0.0,
        "reward",
        anneal(
            curve="expansion_penalty_schedule",
            start="expansion_penalty_start",
            end="expansion_penalty_end",
            ratio="expansion_anneal_ratio",
            steps="expansion_anneal_steps",
        ),
    )
    #: Temperature of Boltzmann sampling from Q values.
    q_temperature: Number = _scheduled(
        1.0,
        "",
        anneal(
            curve="q_temperature_schedule",
            start="q_temperature_start",
            end="q_temperature_end",
            ratio="q_temperature_anneal_ratio",
            steps="q_temperature_anneal_steps",
        ),
    )
    #: Share of random actions.
    epsilon: Number = _scheduled(
        0.0, "share of actions", anneal(start="epsilon_start", end="epsilon_end", ratio="epsilon_anneal_ratio")
    )
    #: Progress of the DQN's warm-up, 0 to 1; below 1 the halting head decides and the Q-network does not learn.
    dqn_warmup: Number = _scheduled(
        1.0, "progress", anneal(start=0.0, end=1.0, ratio="dqn_warmup_ratio", steps="dqn_warmup_steps")
    )
    #: Outer cycles of a supervision step.
    H_cycles: Number = _depth("H_cycles", "H_cycles_start", "cycles")
    #: Updates of z_L before each update of z_H.
    L_cycles: Number = _depth("L_cycles", "L_cycles_start", "cycles")
    #: Most supervision steps that a puzzle gets in training.
    halt_max_steps: Number = _depth("halt_max_steps", "halt_max_steps_start", "steps")
    #: Below 1 the average of the weights is the weights.
    averaging: Number = _scheduled(1.0, "", switch("ema_start_ratio"), host=True)

    def on_device(self, numbers: Iterable[Other]) -> Clock[Other | Number]:
        """The clock with its `numbers` as the network reads them; those that the host reads stay as they are."""
        own = zip(_FIELDS.values(), self.numbers(), numbers, strict=True)
        return Clock(*(mine if known["host"] else other for known, mine, other in own))

    def numbers(self) -> tuple[Number, ...]:
        """Return all values in the order of the fields: `Clock(*clock.numbers())` is the same clock."""
        return tuple(getattr(self, name) for name in QUANTITIES)


SETTLED: Clock[float] = Clock()
_FIELDS: Mapping[str, Mapping[str, Any]] = {one.name: one.metadata for one in fields(Clock)}
QUANTITIES = tuple(_FIELDS)


def declare_one(name: str, config: Any, total_steps: int) -> Quantity:
    """Schedule one value over a run of `total_steps`. config: any object with the keys of its declaration.

    Raises ValueError when the name or a setting is unknown.
    """
    if name not in _FIELDS:
        raise ValueError(f"{name!r} is not a scheduled value; known are {', '.join(QUANTITIES)}.")
    declaration: Declaration = _FIELDS[name]["declaration"]
    return Quantity(name, declaration(config, total_steps), _FIELDS[name]["unit"])


def declare(names: Iterable[str], config: Any, total_steps: int) -> tuple[Quantity, ...]:
    """Schedule the values that an architecture reads, in the order of the clock. Raises ValueError."""
    declared = {name: declare_one(name, config, total_steps) for name in names}
    return tuple(declared[name] for name in QUANTITIES if name in declared)
