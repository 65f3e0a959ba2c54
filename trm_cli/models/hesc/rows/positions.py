"""Positions: rotary angles of boards that know their size, of text, and the parts of a row that capsules stand for.

On a board each head turns its queries by another frame, such as "the same row, counted from the right": one step of
attention then finds the mirrored or transposed place, whatever the board's size. With n uniform frequencies
pi (k + 1/2) / n a query and a key of equal constants match at their own place and are orthogonal at every other one
nearer than 2 n places.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from trm_cli.models.layers.rotary import Rope, rope_tables

#: Pairs of a head that do not turn.
_CONTENT_PAIRS = 4


def head_width(width: int, num_heads: int) -> int:
    """Numbers of a head of tokens: its share of `width`, which turns, and those that do not."""
    return width // num_heads + 2 * _CONTENT_PAIRS


def content_numbers(width: int, num_heads: int) -> Tensor:
    """Which numbers of a head do not turn: bool [head width]. A pair is (i, i + half), the last of each half are."""
    half = torch.arange(head_width(width, num_heads) // 2) >= width // num_heads // 2
    return torch.cat((half, half))


def _still(angles: Tensor) -> Tensor:
    """Angles [..., pairs] with those of the pairs that do not turn: 0."""
    return torch.nn.functional.pad(angles, (0, _CONTENT_PAIRS))


class Rotation(NamedTuple):
    """Angles of the queries [B or 1, H or 1, L, head width / 2] and of the keys."""

    query: Rope
    key: Rope

    def first(self, length: int) -> Rotation:
        """Those of the first places."""
        return Rotation(*(Rope(*(table[..., :length, :] for table in rope)) for rope in self))


class Places(NamedTuple):
    """Row and column of every token, and the height and width that they are counted in: float32, [B, L] and [B, 1]."""

    row: Tensor
    column: Tensor
    height: Tensor
    width: Tensor


def board_places(side: int, size: Tensor) -> Places:
    """The cells of a square of `side`, row by row, of boards of the sizes [B, 2 or more] (height, width)."""
    line = torch.arange(side, device=size.device, dtype=torch.float32)
    row, column = torch.meshgrid(line, line, indexing="ij")
    height, width = size[:, :1].float(), size[:, 1:2].float()
    rows = len(size)
    return Places(row.reshape(1, -1).expand(rows, -1), column.reshape(1, -1).expand(rows, -1), height, width)


def _frames(places: Places) -> list[tuple[Tensor, Tensor]]:
    """The eight symmetries of a board as coordinates to look at; the first four are enough for four heads."""
    row, column, height, width = places
    up, left = height - 1 - row, width - 1 - column
    return [
        (row, column),
        (row, left),
        (up, column),
        (column, row),
        (up, left),
        (height - 1 - column, row),
        (column, width - 1 - row),
        (height - 1 - column, width - 1 - row),
    ]


def _angles(row: Tensor, column: Tensor, head_dim: int) -> Tensor:
    """[B, L] twice -> [B, L, head width / 2]: half of the pairs that turn do so by the row, half by the column."""
    count = head_dim // 4
    frequencies = math.pi * (torch.arange(count, device=row.device) + 0.5) / count
    return _still(torch.cat((row[..., None] * frequencies, column[..., None] * frequencies), -1))


def board_rotation(places: Places, num_heads: int, head_dim: int) -> Rotation:
    """Angles of the tokens of boards: each head's queries by its own frame, all keys by row and column."""
    frames = [_angles(row, column, head_dim) for row, column in _frames(places)[: min(num_heads, 8)]]
    turned = torch.stack([frames[head % len(frames)] for head in range(num_heads)], 1)
    plain = _angles(places.row, places.column, head_dim)[:, None]
    return Rotation(Rope(turned.cos(), turned.sin()), Rope(plain.cos(), plain.sin()))


def text_rope(length: int, head_dim: int, theta: float) -> Rope:
    """Angles of the places of a text: the usual geometric frequencies."""
    cos, sin = rope_tables(length, head_dim, theta)
    return Rope(torch.nn.functional.pad(cos, (0, _CONTENT_PAIRS), value=1.0), _still(sin))


def board_parts(places: Places, rows: int, columns: int) -> Tensor:
    """Which of rows x columns equal parts of its board each token lies in: int64 [B, L], -1 outside of the board."""
    down = (places.row * rows / places.height.clamp_min(1)).floor().clamp(0, rows - 1)
    across = (places.column * columns / places.width.clamp_min(1)).floor().clamp(0, columns - 1)
    inside = (places.row < places.height) & (places.column < places.width)
    return torch.where(inside, down * columns + across, -1.0).long()
