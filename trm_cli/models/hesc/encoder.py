"""Encode pixels as patch features: a stem for each cell, 2-D positions, a small stack applied recursively."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trm_cli.models.hesc.blocks import Linear, RecursiveStack
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.layers.initialization import embedding_parameter
from trm_cli.models.layers.norm import rms_norm

CELL_FEATURES = 64


class PatchStem(nn.Module):
    """Ink of a patch -> [D]: `CELL_FEATURES` rectified features of each of its cells, then one linear map.

    The ten colours are points in a cube, some inside the hull of others: no linear map tells them apart. A few
    rectified features do, from the first update on.
    """

    def __init__(self, config: HescConfig) -> None:
        super().__init__()
        self.size = config.cell_size
        self.side = config.patch_size // self.size
        self.cell = Linear(3 * self.size**2, CELL_FEATURES, bias=0.0)
        if self.cell.bias is not None:
            # Thresholds spread over the range of the features; all at 0 would leave half of the colours in a row.
            nn.init.uniform_(self.cell.bias, -1.0, 1.0)
        self.patch = Linear(self.side**2 * CELL_FEATURES, config.hidden_size)

    def forward(self, patches: Tensor) -> Tensor:
        """[B, P, 3 * patch * patch], channel by channel and row by row -> [B, P, D]."""
        batch, count, _ = patches.shape
        pixels = patches.view(batch, count, 3, self.side, self.size, self.side, self.size)
        cells = pixels.permute(0, 1, 3, 5, 2, 4, 6).reshape(batch, count, self.side**2, -1)
        features: Tensor = self.patch(self.cell(cells).relu().flatten(2))
        return features


class PatchEncoder(nn.Module):
    """x <- stack(x, E), `encoder_cycles` times, where E are the embedded patches: the whole pass has a gradient."""

    def __init__(self, config: HescConfig) -> None:
        super().__init__()
        width, geometry = config.hidden_size, config.geometry
        self.cycles = config.encoder_cycles
        self.stem = PatchStem(config)
        self.rows = embedding_parameter(geometry.patches_per_side, width)
        self.columns = embedding_parameter(geometry.patches_per_side, width)
        self.stack = RecursiveStack(config.encoder_layers, width, config.num_heads, config.expansion)

    def positions(self) -> Tensor:
        """Row plus column embedding of every patch, of unit size: [P, D]."""
        return rms_norm((self.rows[:, None] + self.columns[None]).flatten(0, 1))

    def forward(self, patches: Tensor) -> Tensor:
        """Patches [B, P, pixels] of ink in 0..2 -> features [B, P, D]."""
        embedded = rms_norm(self.stem(patches)) + self.positions()
        x = torch.zeros_like(embedded)
        for _ in range(self.cycles):
            x = self.stack(x, embedded)
        return x
