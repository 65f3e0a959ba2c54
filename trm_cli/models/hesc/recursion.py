"""Apply TRM's recursion to the working set: L_cycles times z_L, then z_H; H_cycles times, the last with a gradient."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from trm_cli.models.hesc.blocks import RecursiveStack
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.layers.initialization import truncated_normal_
from trm_cli.models.layers.stack import recomputed

_START = 0.1
"""Deviation of the initial states. TRM starts at 1; there the injection is all content, here half of it says which slot
it is, and two unit states on top would leave a twelfth of what is normed to the canvas."""


class Recursion(nn.Module):
    """z_L <- stack(z_L, z_H + X); z_H <- stack(z_H, z_L). Hidden slots are computed but nobody may look at them."""

    z_H_start: Tensor
    z_L_start: Tensor

    def __init__(self, config: HescConfig) -> None:
        super().__init__()
        self.H_cycles, self.L_cycles = config.H_cycles, config.L_cycles
        #: Trade a second forward pass of each call with a gradient for the memory of its activations.
        self.recompute = False
        self.stack = RecursiveStack(config.L_layers, config.hidden_size, config.num_heads, config.expansion)
        self.register_buffer("z_H_start", truncated_normal_(torch.empty(config.hidden_size), _START))
        self.register_buffer("z_L_start", truncated_normal_(torch.empty(config.hidden_size), _START))

    def _cycle(self, z_H: Tensor, z_L: Tensor, injection: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        for _ in range(self.L_cycles):
            z_L = self._call(z_L, z_H + injection, mask)
        return self._call(z_H, z_L, mask), z_L

    def _call(self, state: Tensor, injection: Tensor, mask: Tensor) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            # The backward pass runs after the call that lent the weights in another type: it has to be given them.
            weights = dict(self.stack.named_parameters())
            return recomputed(functional_call, self.stack, weights, (state, injection, mask))
        result: Tensor = self.stack(state, injection, mask)
        return result

    def forward(self, z_H: Tensor, z_L: Tensor, injection: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Both states and the injection [B, S, D], visible bool [B, S] -> new z_H, z_L."""
        mask = visible[:, None, None, :]
        with torch.no_grad():
            for _ in range(self.H_cycles - 1):
                z_H, z_L = self._cycle(z_H, z_L, injection, mask)
        return self._cycle(z_H, z_L, injection, mask)
