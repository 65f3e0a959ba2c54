"""Estimate the minimum time of a run on this machine's CPU, before it starts."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trm_cli.config.schema import RunConfig
from trm_cli.data.stream.shape import StreamShape
from trm_cli.data.stream.vocabulary import TEXT_WINDOW
from trm_cli.models.families import create_network
from trm_cli.schedule.plan import TrainingPlan
from trm_cli.training.hardware.devices import product_rate


@dataclass(frozen=True)
class Cost:
    """operations: floating-point operations of one update. rate: operations a second of this machine's matrix products,
    measured now. updates: of the whole plan. The times are lower bounds: evaluation, optimizer and memory come on top.
    """

    operations: int
    rate: float
    updates: int

    @property
    def seconds_per_update(self) -> float:
        """The least that one update takes."""
        return self.operations / self.rate

    @property
    def seconds(self) -> float:
        """The least that the plan takes."""
        return self.seconds_per_update * self.updates


#: Rows of the products that are timed: more of them are not faster, and a run waits for them.
_TIMED_ROWS = 512


def processor_cost(config: RunConfig, plan: TrainingPlan, processes: int = 1) -> Cost | None:
    """The cost of a plan on the CPU; None for an architecture without a count of its operations.

    processes: how many work at it on this machine; all of them call this at the same time.
    """
    if config.board_side is None:
        return None
    shape = StreamShape(config.board_side, TEXT_WINDOW)
    with torch.device("meta"):
        network = create_network(
            config.arch, vocab_size=shape.vocab_size, seq_len=shape.target_length, num_puzzle_identifiers=1
        )
    operations = network.counted_operations()
    if operations is None:
        return None
    rows = config.global_batch_size * network.positions // processes
    rate = processes * product_rate(rows=min(rows, _TIMED_ROWS), width=config.arch.hidden_size)
    return Cost(config.global_batch_size * operations, rate, plan.total_steps)
