"""Make the initial carry of an evaluation: the trained one, or one with noise that is a function of (seed, row,
restart).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm_cli.data import counter_rng
from trm_cli.models.supervision.carry import Carry

if TYPE_CHECKING:
    from trm_cli.evaluation.protocol import Protocol
    from trm_cli.models.network import Network


def start(
    model: Network, batch: Mapping[str, Tensor], places: NDArray[np.int64], protocol: Protocol, restart: int
) -> Carry:
    """Make the carry before the first step of a batch whose rows stand at `places` [B] of the evaluation.

    Restart 0 is the start of training and of every published evaluation. A moved start adds noise [B, D] to every
    position alike: the trained start is one such vector too. It does not depend on the batch that the row is in.
    """
    carry: Carry = model.initial_carry(batch)
    if restart == 0 or protocol.noise == 0:
        return carry
    moved = {}
    initial: dict[str, Tensor] = model.initial_states()
    for name, state in carry.z.items():
        noise = normal(protocol.seed, f"restart/{name}", (places, restart), state.shape[-1])
        vector = initial[name] + protocol.noise * torch.from_numpy(noise).to(state.device, initial[name].dtype)
        moved[name] = vector[:, None].to(state.dtype).expand_as(state)
    # The rows are taken as if a step had just put them in: nothing is left for the first step to reset.
    return replace(carry, z=moved, halted=torch.zeros_like(carry.halted), data=dict(batch))


def normal(seed: int, stream: str, counters: counter_rng.Counters, draws: int) -> NDArray[np.float32]:
    """Draw `draws` standard normal numbers per counter, by Box and Muller: [..., draws]."""
    chance = counter_rng.uniform(seed, stream, counters, 2 * draws)
    radius = np.sqrt(-2.0 * np.log1p(-chance[..., :draws]))
    return (radius * np.cos(2 * np.pi * chance[..., draws:])).astype(np.float32)
