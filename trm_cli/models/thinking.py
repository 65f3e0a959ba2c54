"""Run the supervision loop at inference: step after step until every row has halted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trm_cli.models.layers.carry import Carry
from trm_cli.models.layers.outputs import Outputs
from trm_cli.models.network import Batch, Network


@dataclass(frozen=True)
class ThinkingStep:
    """The result of one step. number: from 1; rows int64 [b]: which rows of the batch are still thought about; batch:
    their fields [b, ...]; residual float32 [b]: how far the step moved the states, as a share of their length.
    """

    number: int
    rows: Tensor
    batch: Mapping[str, Tensor]
    outputs: Outputs
    residual: Tensor


def think(
    network: Network,
    batch: Batch,
    *,
    steps: int | None = None,
    carry: Carry | None = None,
    policy: str = "full",
) -> Iterator[ThinkingStep]:
    """Yield every supervision step of a batch as in evaluation: without gradients, and with the clock settled.

    steps: default halt_max_steps; beyond it rows continue from the same states. carry: where to start; default from the
    trained start. policy: which rows leave the batch after a step (`Network.halts`); it ends with the last of them.
    The network is to be in evaluation mode.
    """
    carry = network.initial_carry(batch) if carry is None else carry
    rows = torch.arange(carry.halted.shape[0], device=carry.halted.device)
    last = steps or network.halt_max_steps
    for number in range(1, last + 1):
        with torch.inference_mode():
            before = carry
            carry, outputs = network.advance(before, batch)
            residual = _residual(before, carry)
            # At the trained depth a carry asks for new rows; here the same rows go on.
            carry = replace(carry, halted=torch.zeros_like(carry.halted))
        yield ThinkingStep(number, rows, batch, outputs, residual)
        if policy != "full" and number < last:
            stay = (~network.halts(outputs, policy)).nonzero()[:, 0]
            if not len(stay):
                return
            if len(stay) < len(rows):
                rows, carry = rows[stay], carry.rows(stay)
                batch = {name: value[stay] for name, value in batch.items()}


def _residual(before: Carry, after: Carry) -> Tensor:
    """|after - before| / |after| of each row, over all states [b, ...]: float32 [b]; 0 where a network has none."""
    moved = torch.zeros(after.halted.shape[0], device=after.halted.device)
    length = torch.full_like(moved, torch.finfo(moved.dtype).tiny)
    for name, state in after.z.items():
        moved += (state - before.z[name]).float().square().flatten(1).sum(1)
        length += state.float().square().flatten(1).sum(1)
    return (moved / length).sqrt()
