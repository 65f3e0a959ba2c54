"""Pixels to patch features: one linear map, 2-D positions, a small stack applied recursively."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trm_cli.models.hesc.blocks import Linear, RecursiveStack
from trm_cli.models.hesc.settings import HescSettings
from trm_cli.models.layers import embedding_parameter, rms_norm


class PatchEncoder(nn.Module):
    """x <- stack(x, E), `encoder_cycles` times, where E are the embedded patches: the whole pass has a gradient."""

    def __init__(self, settings: HescSettings) -> None:
        super().__init__()
        width, geometry = settings.hidden_size, settings.geometry
        self.cycles = settings.encoder_cycles
        self.patch = Linear(geometry.patch_pixels, width)
        self.rows = embedding_parameter(geometry.patches_per_side, width)
        self.columns = embedding_parameter(geometry.patches_per_side, width)
        self.stack = RecursiveStack(settings.encoder_layers, width, settings.num_heads, settings.expansion)

    def positions(self) -> Tensor:
        """Row plus column embedding of every patch, of unit size: [P, D]."""
        return rms_norm((self.rows[:, None] + self.columns[None]).flatten(0, 1))

    def forward(self, patches: Tensor) -> Tensor:
        """Patches [B, P, pixels] of ink in 0..2 -> features [B, P, D]."""
        embedded = rms_norm(self.patch(patches)) + self.positions()
        x = torch.zeros_like(embedded)
        for _ in range(self.cycles):
            x = self.stack(x, embedded)
        return x
