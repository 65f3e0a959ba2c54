"""Quantise sketches to discrete concepts (VQ); the codebook follows exponential averages, not gradients.

The commitment loss pulls the encoder towards the book, never the book towards the encoder; the book follows by
exponential averages of what was assigned to each code. A code that nothing uses is re-seeded from a present encoding.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from trm_cli.models.hesc.blocks import Linear
from trm_cli.models.hesc.config import HescConfig

_SMOOTHING = 1e-5
_DEAD_BELOW = 0.01
"""Smoothed use under which a code counts as dead. Counts start at 1 and decay by `vq_decay` per update."""


class Coding(NamedTuple):
    """added [B, K, D]: what the codes say, for the sketches; encodings float32 [B, K, d] (unit); ids int64 [B, K];
    commitment float32 [B]."""

    added: Tensor
    encodings: Tensor
    ids: Tensor
    commitment: Tensor


class Concepts(nn.Module):
    """`vq_codes` unit codes of `vq_dim` numbers. book, counts and sums are state, saved with the weights.

    counts start at 1 and sums at the book, so that sums / counts of an unused code stays where it is.
    """

    book: Tensor
    counts: Tensor
    sums: Tensor
    seeded: Tensor

    def __init__(self, config: HescConfig) -> None:
        super().__init__()
        size, dim = config.vq_codes, config.vq_dim
        self.decay = config.vq_decay
        self.encode = Linear(config.hidden_size, dim)
        self.decode = Linear(dim, config.hidden_size)
        book = functional.normalize(torch.randn(size, dim), dim=-1)
        self.register_buffer("book", book)
        self.register_buffer("counts", torch.ones(size))
        self.register_buffer("sums", book.clone())
        self.register_buffer("seeded", torch.zeros((), dtype=torch.bool))

    def forward(self, sketches: Tensor) -> Coding:
        """Sketches [B, K, D] -> the coding; gradients pass straight through the choice of code."""
        encodings = functional.normalize(self.encode(sketches).float(), dim=-1, eps=1e-6)
        with torch.no_grad():
            ids = (encodings @ self.book.T).argmax(-1)
            codes = self.book[ids]
        commitment = (encodings - codes).square().sum(-1).mean(-1)
        straight = encodings + (codes - encodings).detach()
        return Coding(self.decode(straight.to(sketches.dtype)), encodings.detach(), ids, commitment)

    @torch.no_grad()
    def update(self, encodings: Tensor, ids: Tensor, draws: Tensor) -> None:
        """Move the book towards encodings [B, K, d] assigned to ids [B, K]; draws [B] choose the seeds of dead codes.

        N <- g N + (1-g) n, m <- g m + (1-g) sum z, code = m / N with Laplace-smoothed N, brought back to unit length.
        The first call seeds the whole book from the batch.
        """
        flat, index = encodings.flatten(0, 1), ids.flatten()
        size = self.counts.shape[0]
        sound = flat.isfinite().all(1)  # one row that is not a number would make the whole book none
        flat = flat.masked_fill(~sound[:, None], 0.0)
        used = torch.zeros_like(self.counts).index_add_(0, index, sound.float())
        total = torch.zeros_like(self.sums).index_add_(0, index, flat)
        counts = self.decay * self.counts + (1 - self.decay) * used
        # An unused code decays in count and sum alike, so that their quotient stays.
        sums = self.decay * self.sums + (1 - self.decay) * total
        smoothed = (counts + _SMOOTHING) / (counts.sum() + size * _SMOOTHING) * counts.sum()
        book = functional.normalize(sums / smoothed[:, None], dim=-1, eps=1e-9)
        offsets = (draws[torch.arange(size, device=draws.device) % draws.shape[0]] * flat.shape[0]).long()
        # A stride coprime to most batch sizes spreads neighbouring codes over the batch.
        seeds = flat[(offsets + 7919 * torch.arange(size, device=draws.device)) % flat.shape[0]]
        renew = ((counts < _DEAD_BELOW) | ~self.seeded)[:, None]
        self.book.copy_(torch.where(renew, seeds, book))
        self.sums.copy_(torch.where(renew, seeds, sums))
        self.counts.copy_(torch.where(renew[:, 0], torch.ones_like(counts), counts))
        self.seeded.fill_(True)


@torch.no_grad()
def used(ids: Tensor, size: int) -> Tensor:
    """The share of `size` codes that ids int64 [...] name at all, 0-dim."""
    return torch.zeros(size, device=ids.device).index_fill_(0, ids.flatten(), 1.0).mean()


@torch.no_grad()
def perplexity(ids: Tensor, size: int) -> Tensor:
    """How many codes a batch uses, exp of the entropy of ids int64 [...]: 0-dim, 1 .. size. A metric, never a loss."""
    share = torch.zeros(size, device=ids.device).index_add_(
        0, ids.flatten(), torch.ones(ids.numel(), device=ids.device)
    )
    share = share / ids.numel()
    return torch.exp(-(share * share.clamp_min(1e-12).log()).sum())
