"""Lay out the working set: registers, capsules and children in fixed slots, children masked until EXPAND opens them.

Its length never changes, so nothing is spliced or cut off and a compiled graph is never rebuilt.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trm_cli.models.hesc.capsules import Capsules
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.layers.initialization import embedding_parameter
from trm_cli.models.layers.norm import rms_norm

_CANVAS_KINDS, _TARGET_KINDS = 3, 2


class WorkingSet(nn.Module):
    """Lays out what the recursion sees: [registers | capsules | children of capsule 0, of capsule 1, ...]."""

    def __init__(self, config: HescConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.num_registers, self.num_capsules = config.num_registers, config.num_capsules
        self.children_per_capsule = config.children_per_capsule if config.enable_expansion else 0
        self.slots = embedding_parameter(config.num_slots, width)
        self.roles = embedding_parameter(_CANVAS_KINDS * _TARGET_KINDS, width)

    def forward(
        self, capsules: Capsules, puzzle: Tensor | None, memory: Tensor | None, canvas_kind: Tensor, target_kind: Tensor
    ) -> Tensor:
        """Capsules, puzzle rows [B, D], memory reading [B, D], kinds [B] -> injection [B, S, D] of unit size."""
        sketches = capsules.sketches
        batch, _, width = sketches.shape
        roles = rms_norm(self.roles)[canvas_kind.long() * _TARGET_KINDS + target_kind.long()].to(sketches.dtype)
        first = roles.new_zeros(batch, width) if puzzle is None else puzzle.to(roles.dtype)
        second = roles if memory is None else roles + memory.to(roles.dtype)
        rest = roles.new_zeros(batch, self.num_registers - 2, width)
        parts = [first[:, None], second[:, None], rest, sketches]
        if capsules.children is not None:
            parts.append(capsules.children.flatten(1, 2))
        return rms_norm(torch.cat(parts, 1) + rms_norm(self.slots))

    def visible(self, opened: Tensor) -> Tensor:
        """Opened capsules bool [B, K] -> mask of visible slots bool [B, S]."""
        always = opened.new_ones(opened.shape[0], self.num_registers + self.num_capsules)
        return torch.cat((always, opened.repeat_interleave(self.children_per_capsule, 1)), 1)


def expand(opened: Tensor, residual: Tensor, wanted: Tensor) -> Tensor:
    """Open, in the rows where `wanted` [B], the hidden capsule with the largest residual [B, K]: bool [B, K].

    Rows with nothing left to open stay as they are.
    """
    best = residual.masked_fill(opened, float("-inf")).argmax(1, keepdim=True)
    return opened | (torch.zeros_like(opened).scatter(1, best, True) & wanted[:, None])
