"""Predict several tokens ahead (multi-token prediction), for text only and in training only, with the tied table.

Depth k joins the hidden state of depth k - 1 at place i with the symbol k places later and predicts the one after it.
All is causal: nothing at place i depends on a symbol later than the one it is given.
"""

from __future__ import annotations

from torch import Tensor, nn

from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.rows.positions import Rotation
from trm_cli.models.hesc.thinking.blocks import Linear, TokenBlock
from trm_cli.models.layers.norm import rms_norm


class FurtherTokens(nn.Module):
    """`mtp_num_depths` - 1 blocks after the next-token reading, which is the first depth."""

    def __init__(self, config: HescConfig) -> None:
        super().__init__()
        width, count = config.token_size, config.mtp_num_depths - 1
        self.joins = nn.ModuleList(Linear(width, width) for _ in range(count))
        self.blocks = nn.ModuleList(
            TokenBlock(width, config.num_heads, config.expansion, causal=True, lean=0.0) for _ in range(count)
        )

    def forward(self, hidden: Tensor, symbols: Tensor, rotation: Rotation) -> list[Tensor]:
        """Hidden [B, T, d], whose place i has seen symbols up to i and predicts the next; symbols [B, T, d] of unit
        size; rotation of their places -> for k = 1, 2, ...: states [B, T - k, d] that predict symbol i + k + 1 from
        symbols up to i + k."""
        states: list[Tensor] = []
        for depth, (join, block) in enumerate(zip(self.joins, self.blocks, strict=True), start=1):
            length = symbols.shape[1] - depth
            if length < 1:
                break
            h = rms_norm(hidden[:, :length] + join(symbols[:, depth:]))
            hidden = block(h, rotation.first(length), h[:, :0], None, None)
            states.append(hidden)
        return states
