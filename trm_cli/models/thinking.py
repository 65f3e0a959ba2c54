"""Run the supervision loop at inference: step after step until every row has halted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from trm_cli.models.network import Batch, Network
from trm_cli.models.supervision.carry import Carry
from trm_cli.models.supervision.outputs import Outputs


@dataclass(frozen=True)
class ThinkingStep:
    """The result of one step. number: from 1; rows int64 [b]: which rows of the batch are still thought about; batch:
    their fields [b, ...]; before, after: what they carried into the step and out of it.
    """

    number: int
    rows: Tensor
    batch: Mapping[str, Tensor]
    outputs: Outputs
    before: Carry
    after: Carry

    @property
    def residual(self) -> Tensor:
        """How far the step moved the states, as a share of their length: |after - before| / |after|, float32 [b].

        Over all states [b, ...]; 0 where a network has none. Computed for who asks: training does not.
        """
        halted = self.after.halted
        with torch.inference_mode():
            moved = torch.zeros(halted.shape[0], device=halted.device)
            length = torch.full_like(moved, torch.finfo(moved.dtype).tiny)
            for name, state in self.after.z.items():
                moved += (state - self.before.z[name]).float().square().flatten(1).sum(1)
                length += state.float().square().flatten(1).sum(1)
            return (moved / length).sqrt()


def think(
    network: Network,
    batch: Batch,
    *,
    steps: int | None = None,
    carry: Carry | None = None,
    policy: str = "full",
    layout: Callable[[int], Any] | None = None,
) -> Iterator[ThinkingStep]:
    """Yield every supervision step of a batch as in evaluation: without gradients, and with the clock settled.

    steps: default halt_max_steps; beyond it rows continue from the same states. carry: where to start; default from the
    trained start. policy: which rows leave the batch after a step (`Network.halts`); it ends with the last of them.
    layout: makes the precomputed shapes of a step from its number; for a device, where reading shapes from the rows
    would wait for it. No row leaves then.
    The network is to be in evaluation mode.
    """
    carry = network.initial_carry(batch) if carry is None else carry
    rows = torch.arange(carry.halted.shape[0], device=carry.halted.device)
    last = steps or network.halt_max_steps
    for number in range(1, last + 1):
        with torch.inference_mode():
            before = carry
            told = {} if layout is None else {"layout": layout(number)}
            carry, outputs = network.advance(before, batch, **told)
            # At the trained depth a carry asks for new rows; here the same rows go on.
            carry = replace(carry, halted=torch.zeros_like(carry.halted))
        yield ThinkingStep(number, rows, batch, outputs, before, carry)
        if policy != "full" and number < last:
            stay = (~network.halts(outputs, policy)).nonzero()[:, 0]
            if not len(stay):
                return
            if len(stay) < len(rows):
                rows, carry = rows[stay], carry.rows(stay)
                batch = {name: value[stay] for name, value in batch.items()}
