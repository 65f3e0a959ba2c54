"""What the random numbers of a row's training step are for: halting, noise on the states, starts."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from trm_cli.models.networks.shared.token_config import TokenConfig
from trm_cli.models.supervision import starts
from trm_cli.models.supervision.carry import Carry


class Chance(NamedTuple):
    """Uniform numbers [B, ...] in their order: two that decide about halting; a normal vector (twice its length) of
    each state for random starts and for the noise before a step, each only where there is such noise; one for each
    start after the first.
    """

    halting: Tensor
    start: Tensor
    step: Tensor
    starts: Tensor

    @classmethod
    def sizes(cls, config: TokenConfig) -> tuple[int, ...]:
        """Numbers of each kind."""
        vector = 2 * config.hidden_size
        noise = len(config.states) * vector
        return 2, noise * bool(config.start_noise), noise * bool(config.step_noise), (config.starts - 1) * vector

    @classmethod
    def of(cls, config: TokenConfig, draws: Tensor) -> Chance:
        """The numbers of a step by their use."""
        return cls(*draws.split(cls.sizes(config), dim=1))


def disturbed(carry: Carry, config: TokenConfig, chance: Chance) -> Carry:
    """The carry with the noise of training: rows that were just taken in at random starts, and noise before each step
    (EqR, arXiv 2605.21488, has both)."""
    z = carry.z
    if config.start_noise:
        new = (carry.steps == 0)[:, None, None]
        elsewhere = starts.moved(z, chance.start, config.start_noise)
        z = {name: torch.where(new, elsewhere[name], state) for name, state in z.items()}
    if config.step_noise:
        z = starts.moved(z, chance.step, config.step_noise)
    return replace(carry, z=z)
