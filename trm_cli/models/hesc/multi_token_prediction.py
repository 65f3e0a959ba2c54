"""Predict several tokens ahead (multi-token prediction), for text only, with the decoder's own table and head.

Depth k joins the hidden state of depth k-1 at position i with the token k places later and predicts the one after it.
All is causal: nothing at position i depends on a token later than the one it is given.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trm_cli.models.hesc.blocks import Linear, ReadingBlock
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.layers.norm import rms_norm
from trm_cli.models.layers.rotary import Rope


class FurtherTokens(nn.Module):
    """`mtp_num_depths` - 1 modules after the main next-token reading (which is the first depth). Dropped when
    answering.
    """

    def __init__(self, config: HescConfig) -> None:
        super().__init__()
        width, count = config.hidden_size, config.mtp_num_depths - 1
        self.joins = nn.ModuleList(Linear(width, width) for _ in range(count))
        self.blocks = nn.ModuleList(
            ReadingBlock(width, config.num_heads, config.expansion, reads=False) for _ in range(count)
        )

    def forward(self, hidden: Tensor, embedded: Tensor, rope: Rope) -> list[Tensor]:
        """Hidden [B, T, D] of the main reading, whose position i has seen tokens < i; embedded [B, T, D], the embedding
        of token i at place i; rope of T positions -> for k = 1, 2, ...: states [B, T - k, D] of unit size that predict
        token i + k from tokens <= i + k - 1."""
        states = []
        for depth, (join, block) in enumerate(zip(self.joins, self.blocks, strict=True), start=1):
            length = embedded.shape[1] - depth
            if length < 1:
                break
            pair = rms_norm(hidden[:, :length]) + join(rms_norm(embedded[:, depth - 1 : depth - 1 + length]))
            mask = torch.ones(length, length, dtype=torch.bool, device=pair.device).tril()
            hidden = block(pair, mask, Rope(rope.cos[:length], rope.sin[:length]))
            states.append(rms_norm(hidden))
        return states
