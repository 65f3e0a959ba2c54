"""Tokens: cells, bytes and patches with their positions, as what the recursion takes in again and again.

Nothing is lost between a symbol and its answer: each answer place is a token that carries its own symbol.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.rows.boards import Packed
from trm_cli.models.hesc.rows.kinds import FIRST_BYTE, FIRST_COLOUR, PAD, Kind
from trm_cli.models.hesc.rows.positions import Places, Rotation, board_parts, board_places, board_rotation, text_rope
from trm_cli.models.hesc.thinking.blocks import Linear
from trm_cli.models.layers.initialization import embedding_parameter
from trm_cli.models.layers.norm import rms_norm
from trm_cli.models.layers.rotary import Rope

#: Pixels come as 0..255; patches of a few pixels see rectified features of each pixel's neighbourhood.
_STEM_FEATURES = 16


@dataclass(frozen=True)
class Tokens:
    """The tokens of b rows of one kind.

    injection [b, N, d]; inside bool [b, N]: tokens that hold a symbol, or None where all do; parts int64 [b or 1, N]:
    the child slot that each lies under, -1 = none; rotation: of queries and keys; packed: which cells of a square the
    tokens are, None where all of them, row by row.
    """

    kind: Kind
    injection: Tensor
    rotation: Rotation
    parts: Tensor
    inside: Tensor | None
    packed: Packed | None = None


class Symbols(nn.Module):
    """Embeds the symbols of each kind. The table of tokens is also the output map (tied)."""

    text_cos: Tensor
    text_sin: Tensor

    def __init__(self, config: HescConfig, vocab_size: int, places: int) -> None:
        """places: of the longest text that is trained on."""
        super().__init__()
        self.config = config
        width = config.token_size
        self.head_dim = width // config.num_heads
        self.table = embedding_parameter(vocab_size, width)
        # Rows and columns counted from both ends: where a board's edge is near.
        self.edges = nn.Parameter(embedding_parameter(4 * (config.board_side + 1), width).data.unflatten(0, (4, -1)))
        # What a demonstration's answer shows at a place, beside what its input shows.
        self.shown = embedding_parameter(FIRST_BYTE, width)
        self.stem = nn.Conv2d(3, _STEM_FEATURES, 3, padding=1)
        self.patch = Linear(_STEM_FEATURES * config.patch_size**2, width)
        self.patch_rows = embedding_parameter(config.picture_size // config.patch_size, width)
        self.patch_columns = embedding_parameter(config.picture_size // config.patch_size, width)
        # Made once, since it takes float64; a function of the configuration, and left out of the state dict.
        angles = text_rope(places, self.head_dim, config.rope_theta)
        self.register_buffer("text_cos", angles.cos, persistent=False)
        self.register_buffer("text_sin", angles.sin, persistent=False)

    def _edges(self, places: Places) -> Tensor:
        """What a cell's distances from the four edges say: [B, N, d]; 0 stands for all places beyond an edge."""
        last = self.edges.shape[1] - 1
        up, left = places.height - places.row, places.width - places.column
        distances = (places.row + 1, places.column + 1, up, left)
        return torch.stack([self.edges[i][d.clamp(0, last).long()] for i, d in enumerate(distances)]).sum(0)

    def _on_board(self, symbols: Tensor, places: Places, inside: Tensor, some: Packed | None) -> Tokens:
        config = self.config
        rows, columns = config.capsule_rows * config.child_rows, config.capsule_columns * config.child_columns
        rotation = board_rotation(places, config.num_heads, self.head_dim)
        parts = _child_order(board_parts(places, rows, columns), config)
        injection = rms_norm(symbols + rms_norm(self._edges(places)).to(symbols.dtype))
        return Tokens(Kind.GRID, injection, rotation, parts, inside, some)

    def cells(self, cells: Tensor, size: Tensor, some: Packed | None = None) -> Tokens:
        """Cells uint8 [B, side * side] (0 empty, else colour + 1), size [B, 4] of which the input's is used."""
        places = board_places(math.isqrt(cells.shape[1]), size)
        if some is not None:
            cells, places = some.take(cells), _taken(places, some)
        codes = torch.where(cells > 0, cells.long() + (FIRST_COLOUR - 1), PAD)
        return self._on_board(rms_norm(self.table[codes]), places, cells > 0, some)

    def pairs(self, pairs: Tensor, size: Tensor, some: Packed | None = None) -> Tokens:
        """Demonstrations uint8 [B, 2, side * side], size [B, 4]: each place shows its input and its answer."""
        places, pairs = board_places(math.isqrt(pairs.shape[2]), size), pairs.mT
        if some is not None:
            pairs, places = some.take(pairs), _taken(places, some)
        codes = torch.where(pairs > 0, pairs.long() + (FIRST_COLOUR - 1), PAD)
        symbols = rms_norm(self.table[codes[..., 0]]) + rms_norm(self.shown[codes[..., 1]])
        return self._on_board(rms_norm(symbols), places, (pairs > 0).any(2), some)

    def text(self, text: Tensor, window: int) -> Tokens:
        """Tokens int [B, T] of a window of so many places: one-dimensional positions, a part for each stretch."""
        length = text.shape[1]
        parts = torch.arange(length, device=text.device)[None] // child_stretch(self.config, window)
        rope = self.text_rope(length)
        symbols = rms_norm(self.table[text.long().clamp_min(PAD)])
        return Tokens(Kind.TEXT, symbols, Rotation(rope, rope), parts, None)

    def text_rope(self, length: int) -> Rope:
        """Angles of the places of a text of so many."""
        if length > len(self.text_cos):  # who reads longer texts than were trained on
            longer = text_rope(length, self.head_dim, self.config.rope_theta)
            return Rope(*(table.to(self.text_cos.device) for table in longer))
        return Rope(self.text_cos[:length], self.text_sin[:length])

    def picture(self, picture: Tensor) -> Tokens:
        """Pixels uint8 [B, C, h, w], grey or coloured, scaled to `picture_size`: a token a patch."""
        config = self.config
        size, per_side = config.picture_size, config.picture_size // config.patch_size
        pixels = functional.interpolate(picture.to(self.table.dtype) / 127.5 - 1.0, size=(size, size), mode="area")
        features = self.stem(pixels.expand(-1, 3, -1, -1)).relu()
        patches = functional.unfold(features, config.patch_size, stride=config.patch_size).transpose(1, 2)
        where = (self.patch_rows[:, None] + self.patch_columns).flatten(0, 1)
        injection = rms_norm(rms_norm(self.patch(patches)) + rms_norm(where))
        board = torch.full((len(picture), 2), per_side, device=picture.device)
        places = board_places(per_side, board)
        rows, columns = config.capsule_rows * config.child_rows, config.capsule_columns * config.child_columns
        parts = _child_order(board_parts(places, rows, columns), config)
        return Tokens(Kind.PICTURE, injection, board_rotation(places, config.num_heads, self.head_dim), parts, None)

    def logits(self, hidden: Tensor, first: int, stop: int | None) -> Tensor:
        """[B, T, d] of unit size -> the scores of the words from `first` up to `stop`: float32 [B, T, W]."""
        return (hidden @ self.table[first:stop].T).float()


def child_stretch(config: HescConfig, window: int) -> int:
    """Places of a text window that one child slot reads: equal parts, rounded up."""
    return -(-window // (config.num_capsules * config.children_per_capsule))


def _taken(places: Places, some: Packed) -> Places:
    """The places of some cells."""
    return places._replace(row=some.take(places.row), column=some.take(places.column))


def _child_order(part: Tensor, config: HescConfig) -> Tensor:
    """Parts counted row by row over the board -> counted capsule by capsule; -1 stays."""
    columns = config.capsule_columns * config.child_columns
    row, column = part // columns, part % columns
    capsule = (row // config.child_rows) * config.capsule_columns + column // config.child_columns
    child = (row % config.child_rows) * config.child_columns + column % config.child_columns
    return torch.where(part < 0, -1, capsule * config.children_per_capsule + child)
