"""The workspace: registers, capsules and their children, which read the tokens and think about them together.

Registers read slots alone; a capsule reads the tokens of its part of the row through one query, a child those of a
quarter of that part. What a closed capsule's children have read is known to no other slot and to no token.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.rows.kinds import Kind
from trm_cli.models.hesc.thinking.blocks import Attention, Linear, SlotBlock
from trm_cli.models.layers.initialization import embedding_parameter, truncated_normal_
from trm_cli.models.layers.norm import rms_norm


class Reading(NamedTuple):
    """What was read. slots [B, K (1 + m), D]; maps float32 [B, K, N]: where each capsule looked, over all heads; the
    rest of a row is what it left unread."""

    slots: Tensor
    maps: Tensor


class TokenReader(nn.Module):
    """Attention of capsules and children to the tokens under them, or to nothing."""

    def __init__(self, config: HescConfig) -> None:
        super().__init__()
        self.count = config.num_capsules
        self.attention = Attention(config.hidden_size, config.num_heads, config.token_size)
        self.nothing = embedding_parameter(1, config.token_size)

    def forward(self, slots: Tensor, tokens: Tensor, mask: Tensor) -> Reading:
        """Slots [B, K (1 + m), D], tokens [B, N, d], mask bool [B or 1, 1, K (1 + m), 1 + N]."""
        seen = torch.cat((self.nothing.to(tokens.dtype).expand(len(tokens), 1, -1), tokens), 1)
        k, v = self.attention.keys_values(seen)
        scores = (self.attention.queries(slots) @ k.mT).float() / math.sqrt(self.attention.head_dim)
        weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        return Reading(self.attention.merge(weights.to(v.dtype) @ v), weights[:, :, : self.count, 1:].mean(1))


class Checksum(nn.Module):
    """What each sketch fails to say about its children.

    A signature of the sketch predicts a fixed random projection of the children; the mean that the children of a
    capsule always have is taken off first, since to know that says nothing about this row.
    """

    projection: Tensor
    #: [K, checksum_dim]: the running mean of the detail of each capsule.
    usual_detail: Tensor

    def __init__(self, config: HescConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.signature = nn.Sequential(
            Linear(width, width // 8, bias=0.0), nn.GELU(), Linear(width // 8, config.checksum_dim, bias=0.0)
        )
        projection = torch.empty(config.checksum_dim, config.children_per_capsule * width)
        self.register_buffer("projection", truncated_normal_(projection, projection.shape[1] ** -0.5))
        self.register_buffer("usual_detail", torch.zeros(config.num_capsules, config.checksum_dim))

    @torch.no_grad()
    def detail(self, children: Tensor) -> Tensor:
        """Children [B, K, m, D] -> what the checksum is of, float32 [B, K, checksum_dim]."""
        return rms_norm(children).flatten(2).float() @ self.projection.float().T

    def forward(self, sketches: Tensor, detail: Tensor, usual: Tensor) -> Tensor:
        """Sketches [B, K, D], detail [B, K, checksum_dim], usual [K, checksum_dim] -> residual float32 [B, K], from 0
        to 2."""
        unusual = detail - usual
        return 1.0 - functional.cosine_similarity(self.signature(sketches).float(), unusual, dim=-1, eps=1e-6)

    @torch.no_grad()
    def follow(self, detail: Tensor) -> None:
        """Move the usual detail a hundredth of the way to the mean of a batch [B, K, checksum_dim]."""
        sound = detail.isfinite().all(-1, keepdim=True)  # one row that is not a number would stay for ever
        mean = detail.masked_fill(~sound, 0.0).sum(0) / sound.sum(0).clamp_min(1)
        self.usual_detail.lerp_(mean.to(self.usual_detail.dtype), 0.01)


class Looked(NamedTuple):
    """slots [B, S, D]: the workspace after an update; read: what capsules and children have read for it."""

    slots: Tensor
    read: Reading


class Lost(NamedTuple):
    """residual float32 [B, K]: what sketches have lost of their children; detail [B, K, c], or None without children:
    what it is measured by."""

    residual: Tensor
    detail: Tensor | None


class Workspace(nn.Module):
    """`slots <- blocks(slots + injection + what capsules and children read)`."""

    start: Tensor

    def __init__(self, config: HescConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.registers, self.capsules = config.num_registers, config.num_capsules
        self.children_per_capsule = config.children_per_capsule
        self.places = embedding_parameter(config.num_slots, width)
        self.roles = embedding_parameter(len(Kind), width)
        self.reader = TokenReader(config)
        self.blocks = nn.ModuleList(
            SlotBlock(width, config.num_heads, config.expansion) for _ in range(config.H_layers)
        )
        self.checksum = Checksum(config) if config.enable_expansion else None
        self.register_buffer("start", truncated_normal_(torch.empty(width), 0.1))

    def injection(self, kind: Kind, puzzle: Tensor | None, rows: int) -> Tensor:
        """What every update takes in: the slots' own places, the puzzle row [b, D] and the kind of row: [b, S, D]."""
        places = rms_norm(self.places).expand(rows, -1, -1)
        added = [places[:, 0] if puzzle is None else places[:, 0] + puzzle.to(places.dtype)]
        added.append(places[:, 1] + rms_norm(self.roles[kind]))
        return rms_norm(torch.cat((torch.stack(added, 1), places[:, 2:]), 1))

    def forward(
        self, slots: Tensor, injection: Tensor, tokens: Tensor, context: Tensor, reading: Tensor, seen: Tensor
    ) -> Looked:
        """Slots and injection [B, S, D], tokens [B, N, d], context [B, C, D]; masks of `Visibility`."""
        slots = rms_norm(slots + injection)
        read = self.reader(slots[:, self.registers :], tokens, reading)
        slots = torch.cat((slots[:, : self.registers], rms_norm(slots[:, self.registers :] + read.slots)), 1)
        for block in self.blocks:
            slots = block(slots, context, seen)
        return Looked(slots, read)

    def usual(self) -> Tensor | None:
        """What children always say, float32 [K, checksum_dim]: a copy, since it moves before the backward pass."""
        return None if self.checksum is None else self.checksum.usual_detail.float().clone()

    def lost(self, read: Reading, usual: Tensor | None) -> Lost:
        """Compare sketches with children. usual: what children always say."""
        if self.checksum is None or usual is None:
            return Lost(read.maps.new_zeros(read.maps.shape[:2]), None)
        sketches, children = read.slots.split((self.capsules, read.slots.shape[1] - self.capsules), 1)
        detail = self.checksum.detail(children.unflatten(1, (self.capsules, -1)))
        return Lost(self.checksum(sketches, detail, usual), detail)
