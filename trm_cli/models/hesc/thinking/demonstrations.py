"""Demonstrations: pairs of grids of a task, each remembered in a few slots that tokens and workspace look at.

A pair is one board whose places show the input's and the answer's colour together. It goes through the tokens' own
blocks once, when its row is taken in; the slots that read it stay in the carry.
"""

from __future__ import annotations

from torch import Tensor, nn

from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.thinking.blocks import Attention
from trm_cli.models.layers.initialization import embedding_parameter
from trm_cli.models.layers.norm import rms_norm


class PairReader(nn.Module):
    """`pair_slots` questions to the tokens of a pair."""

    def __init__(self, config: HescConfig) -> None:
        super().__init__()
        self.questions = embedding_parameter(config.pair_slots, config.hidden_size)
        self.attention = Attention(config.hidden_size, config.num_heads, config.token_size)

    def forward(self, tokens: Tensor, inside: Tensor) -> Tensor:
        """Tokens [P, N, d] of pairs, inside bool [P, N] -> slots [P, pair_slots, D] of unit size."""
        questions = rms_norm(self.questions).expand(len(tokens), -1, -1)
        mask = inside[:, None, None] | ~inside.any(1)[:, None, None, None]
        return rms_norm(questions + self.attention(questions, tokens, mask))
