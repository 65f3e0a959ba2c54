"""Demonstrations: pairs of grids of a task, each remembered in a few slots that tokens and workspace look at.

A pair is one board whose places show the input's and the answer's colour together. It goes through the tokens' own
blocks, in no row's context, so that every row of its task can look at it. With `pair_cells` the cells of a row look at
its cells too, in each block at what they were before that block: where a demonstration is like one's own place, what
becomes of it is what is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

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


class PairCells(NamedTuple):
    """What the cells of demonstrations tell. told [W, N, C]: keys and values of each block, one block after the other;
    inside bool [W, N]: which there are; which int64 [B, k]: the demonstrations of each row, -1 = none."""

    told: Tensor
    inside: Tensor
    which: Tensor

    def rows(self, rows: Tensor) -> PairCells:
        """Those of rows int64 [b]."""
        return self._replace(which=self.which[rows])

    def without(self, gone: Tensor) -> PairCells:
        """None of those where `gone` bool [B, k]."""
        return self._replace(which=self.which.masked_fill(gone, -1))

    def side_by_side(self, packs: bool) -> tuple[Tensor, Tensor]:
        """What each row is told by all of its demonstrations [B, 1 + M, C], and what of it there is, bool [B, 1 + M].

        The first place says nothing, to everybody. packs: only as many cells as the row has that is told most.
        """
        count, there = self.told.shape[1], self.which.clamp_min(0)
        inside = (self.inside[there] & (self.which >= 0)[..., None]).flatten(1)
        places = (there[..., None] * count + torch.arange(count, device=there.device)).flatten(1)
        if packs:
            most = max(1, int(inside.sum(1).max()))
            order = (~inside).byte().argsort(dim=1, stable=True)[:, :most]
            places, inside = places.gather(1, order), inside.gather(1, order)
        told = self.told.flatten(0, 1).index_select(0, places.flatten()).unflatten(0, places.shape)
        return functional.pad(told, (0, 0, 1, 0)), functional.pad(inside, (1, 0), value=True)


def pair_cells(told: Sequence[Tensor], inside: Sequence[Tensor], places: Tensor, size: Tensor) -> PairCells:
    """Join groups of demonstrations [w, N, C], inside bool [w, N], that stand at places int64 [W] of size [B, k, 4]."""
    most = max(one.shape[1] for one in told)
    joined = torch.cat([functional.pad(one, (0, 0, 0, most - one.shape[1])) for one in told])
    exist = torch.cat([functional.pad(one, (0, most - one.shape[1])) for one in inside])
    which = torch.full((size.shape[0] * size.shape[1],), -1, device=places.device)
    which = which.index_copy(0, places, torch.arange(len(places), device=places.device))
    return PairCells(joined, exist, which.view(size.shape[:2]))
