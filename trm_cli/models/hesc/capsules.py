"""Pool patch features into capsules: sketches, children, and a checksum that measures what a sketch has lost.

A capsule is a learned query at a place of a rows x columns grid. Its sketch attends to the whole canvas with a leaning
towards its own region; its children attend inside that region only, so they hold the finer detail of one place.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from trm_cli.models.hesc.blocks import Attention, Linear
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.layers.initialization import embedding_parameter, truncated_normal_
from trm_cli.models.layers.norm import rms_norm

LEANING = 6.0
"""Log-odds, at the start, of a patch in a capsule's own region over one a whole region away."""
DIVISION = 2.0
"""Log-odds, at the start, of the part of its region that a head (or a child) prefers over the part beside it."""
_FOLLOWING = 0.01
"""Share of a batch in the running mean of the detail, an update: it follows over about a hundred updates."""


class Capsules(NamedTuple):
    """sketches [B, K, D]; children [B, K, m, D] or None; residual [B, K] in 0..2 (float32); maps [B, K, P] (sum 1);
    detail [B, K, checksum_dim], float32, without gradient: what the children say, or None."""

    sketches: Tensor
    children: Tensor | None
    residual: Tensor
    maps: Tensor
    detail: Tensor | None = None


def region_distances(rows: int, columns: int, patches_per_side: int) -> Tensor:
    """How far each patch lies outside each region, in regions: [K, P], 0 inside.

    A patch belongs to a region where they overlap, so every patch is in at least one and every region has one.
    """
    side = torch.arange(patches_per_side, dtype=torch.float64)

    def outside(count: int) -> Tensor:
        low = torch.arange(count, dtype=torch.float64)[:, None]
        start, end = side * count / patches_per_side, (side + 1) * count / patches_per_side
        # Strict overlap of [start, end) with [low, low + 1) has distance 0; touching counts as outside.
        gap = torch.maximum(low - end, start - (low + 1))
        return torch.where(gap < -1e-9, torch.zeros_like(gap), gap + 0.5)

    vertical, horizontal = outside(rows), outside(columns)
    total = vertical[:, None, :, None] + horizontal[None, :, None, :]
    return total.reshape(rows * columns, patches_per_side**2).float()


def part_distances(rows: int, columns: int, patches_per_side: int, lookers: int) -> Tensor:
    """How far each patch lies from the part of a region that a looker prefers, in parts, squared: [lookers, K, P].

    The lookers (heads of a sketch, children of a capsule) divide a region among them, row by row on a grid of parts
    that is as square as their number allows. If all of them began with the mean of the region, it would be hard to
    learn what stood where.
    """
    across = next(count for count in range(math.isqrt(lookers), 0, -1) if lookers % count == 0)
    down = lookers // across
    centre = (torch.arange(patches_per_side, dtype=torch.float64) + 0.5) / patches_per_side

    def squares(count: int, parts: int) -> Tensor:
        wanted = (torch.arange(count * parts, dtype=torch.float64) + 0.5) / (count * parts)
        return ((centre - wanted[:, None]) * count * parts).square().view(count, parts, -1)

    vertical, horizontal = squares(rows, down), squares(columns, across)
    total = vertical[:, None, :, None, :, None] + horizontal[None, :, None, :, None, :]
    # [rows, columns, down, across, side, side] -> [lookers, K, P]
    return total.permute(2, 3, 0, 1, 4, 5).reshape(lookers, rows * columns, -1).float()


def slot_leaning(config: HescConfig, places_per_side: int, strength: float) -> Tensor:
    """Log-odds with which a place of a square canvas [places] looks at capsules and children of its own region:
    [places, K + children], 0 in the own region and negative elsewhere."""
    distances = region_distances(config.capsule_rows, config.capsule_columns, places_per_side).T
    children = config.children_per_capsule if config.enable_expansion else 0
    return -strength * torch.cat((distances, distances.repeat_interleave(children, 1)), 1)


class CapsulePool(nn.Module):
    """Learned queries that gather the canvas into capsules.

    The checksum (8.3 of the design): g(sketch) predicts a fixed random projection of the children, which get no
    gradient from it; residual = 1 - cos. It is free of scale, so it cannot be lowered by shrinking the children. What
    the children of a capsule always say is taken off first: most of it is their place, and to know that says nothing
    about this canvas.
    """

    #: [K * m, P]: log-odds of the patches for each child, -inf outside of its capsule's region.
    inside: Tensor
    projection: Tensor
    #: [K, checksum_dim]: the running mean of the detail of each capsule.
    usual_detail: Tensor

    def __init__(self, config: HescConfig) -> None:
        super().__init__()
        width, count, geometry = config.hidden_size, config.num_capsules, config.geometry
        self.children_per_capsule = config.children_per_capsule
        self.queries = embedding_parameter(count, width)
        distances = region_distances(config.capsule_rows, config.capsule_columns, geometry.patches_per_side)
        grid = config.capsule_rows, config.capsule_columns, geometry.patches_per_side
        self.leaning = nn.Parameter(-LEANING * distances - DIVISION * part_distances(*grid, config.num_heads))
        self.attention = Attention(width, config.num_heads)
        self.has_children = config.enable_expansion
        if self.has_children:
            self.child_queries = embedding_parameter(self.children_per_capsule, width)
            self.signature = nn.Sequential(
                Linear(width, width // 8, bias=0.0), nn.GELU(), Linear(width // 8, config.checksum_dim, bias=0.0)
            )
            parts = part_distances(*grid, self.children_per_capsule).transpose(0, 1).flatten(0, 1)
            outside = (distances > 0).repeat_interleave(self.children_per_capsule, 0)
            self.register_buffer("inside", (-DIVISION * parts).masked_fill(outside, -math.inf), persistent=False)
            projection = torch.empty(config.checksum_dim, self.children_per_capsule * width)
            self.register_buffer("projection", truncated_normal_(projection, projection.shape[1] ** -0.5))
            self.register_buffer("usual_detail", torch.zeros(count, config.checksum_dim))

    def _sketches(self, features: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, P, D] -> sketches [B, K, D] and maps [B, K, P] averaged over heads, float32."""
        x = rms_norm(self.queries).expand(features.shape[0], -1, -1)
        q = self.attention.queries(x)
        scores = (q @ k.mT).float() / math.sqrt(self.attention.head_dim) + self.leaning.float()
        weights = scores.softmax(-1)
        return rms_norm(self.attention.merge(weights.to(v.dtype) @ v)), weights.mean(1)

    def _children(self, k: Tensor, v: Tensor) -> Tensor:
        """Keys and values [B, H, P, head_dim] -> children [B, K, m, D], each looking into its capsule's region only."""
        batch, (count, width) = k.shape[0], self.queries.shape
        places = rms_norm(self.queries)[:, None] + rms_norm(self.child_queries)[None]
        x = places.flatten(0, 1).expand(batch, -1, -1)
        mask = self.inside[None, None].to(x.dtype)
        mixed = functional.scaled_dot_product_attention(self.attention.queries(x), k, v, attn_mask=mask)
        return rms_norm(self.attention.merge(mixed)).view(batch, count, self.children_per_capsule, width)

    @torch.no_grad()
    def detail(self, children: Tensor) -> Tensor:
        """Children [B, K, m, D] -> what the checksum is of, float32 [B, K, checksum_dim]."""
        return children.flatten(2).float() @ self.projection.float().T

    def residual(self, sketches: Tensor, detail: Tensor) -> Tensor:
        """What each sketch fails to say about its children: float32 [B, K]."""
        unusual = detail - self.usual_detail.float()
        return 1.0 - functional.cosine_similarity(self.signature(sketches).float(), unusual, dim=-1, eps=1e-6)

    @torch.no_grad()
    def follow(self, detail: Tensor) -> None:
        """Move the usual detail a hundredth of the way to the mean of a batch [B, K, checksum_dim]."""
        sound = detail.isfinite().all(-1, keepdim=True)  # one row that is not a number would stay for ever
        mean = detail.masked_fill(~sound, 0.0).sum(0) / sound.sum(0).clamp_min(1)
        self.usual_detail.lerp_(mean.to(self.usual_detail.dtype), _FOLLOWING)

    def forward(self, features: Tensor) -> Capsules:
        """Features [B, P, D] -> capsules."""
        k, v = self.attention.keys_values(features)
        sketches, maps = self._sketches(features, k, v)
        if not self.has_children:
            return Capsules(sketches, None, maps.new_zeros(maps.shape[:2]), maps)
        children = self._children(k, v)
        detail = self.detail(children)
        return Capsules(sketches, children, self.residual(sketches, detail), maps, detail)


def map_overlap(maps: Tensor) -> Tensor:
    """Mean cosine between the maps of different capsules, [B, K, P] -> [B]: 0 when no two look at one place."""
    unit = functional.normalize(maps, dim=-1, eps=1e-6)
    count = maps.shape[1]
    return ((unit @ unit.mT).sum((1, 2)) - count) / max(1, count * (count - 1))


class PixelHead(nn.Module):
    """Draws the canvas back from capsules: position queries attend to them, one linear map gives the pixels.

    It keeps the capsules honest: pixels that no capsule knows cannot be drawn.
    """

    leaning: Tensor

    def __init__(self, config: HescConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.scale = config.vq_dim**-0.5
        self.query = Linear(width, config.vq_dim)
        self.key = Linear(width, config.vq_dim)
        self.places = embedding_parameter(config.geometry.patches, width)
        self.pixels = Linear(width, config.geometry.patch_pixels, bias=0.0)
        leaning = slot_leaning(config, config.geometry.patches_per_side, LEANING)
        self.register_buffer("leaning", leaning, persistent=False)

    def forward(self, positions: Tensor, slots: Tensor) -> Tensor:
        """Positions [P, D], slots [B, N, D] -> pixels [B, P, 3 * patch * patch], float32."""
        scores = (self.query(positions) @ self.key(slots).mT).float() * self.scale + self.leaning[:, : slots.shape[1]]
        gathered = scores.softmax(-1).to(slots.dtype) @ slots
        # One capsule holds several patches: the position decides, by multiplication, which of its directions to read.
        pixels: Tensor = self.pixels(rms_norm(gathered * rms_norm(self.places)))
        return pixels.float()
