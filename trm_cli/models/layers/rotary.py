"""Rotary position embedding (RoPE): rotate queries and keys by angles that grow with their positions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from trm_cli.models.layers.board import board_side
from trm_cli.models.numerics import widen


class Rope(NamedTuple):
    """Cosine and sine of the rotation angles, [L, head_dim / 2] each, float32 unless asked otherwise."""

    cos: Tensor
    sin: Tensor


def rope_tables(length: int, head_dim: int, theta: float, dtype: torch.dtype = torch.float32) -> Rope:
    """Angles position * theta^(-2i/head_dim), positions 0 .. length-1, i < head_dim / 2; rounded once, to `dtype`.

    Raises ValueError for an odd head_dim.
    """
    if head_dim % 2:
        raise ValueError(f"Rotary positions need an even head width, not {head_dim}.")
    frequencies = theta ** -(torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angles = torch.outer(torch.arange(length, dtype=torch.float64), frequencies)
    return Rope(angles.cos().to(dtype), angles.sin().to(dtype))


def board_rope_tables(cells: int, prefix: int, head_dim: int, theta: float, dtype: torch.dtype = torch.float32) -> Rope:
    """Angles of a square board of `cells` cells: half of the pairs turn with the row, the other half with the column.

    Angles row * theta^(-4i/head_dim) and column * theta^(-4i/head_dim), i < head_dim / 4; the `prefix` positions before
    the board are not turned. [prefix + cells, head_dim / 2]. Raises ValueError where the cells make no square, or for a
    head_dim that four does not divide. Source: arXiv 2403.13298 (axial frequencies).
    """
    side = board_side(cells, "pos_encodings rope_2d")
    if head_dim % 4:
        raise ValueError(f"Rotary positions of a board need a head width that four divides, not {head_dim}.")
    line = rope_tables(side, head_dim // 2, theta, dtype)
    place = torch.arange(cells)
    cos, sin = (torch.cat((part[place // side], part[place % side]), 1) for part in line)
    still = torch.zeros(prefix, head_dim // 2, dtype=dtype)
    return Rope(torch.cat((still + 1, cos)), torch.cat((still, sin)))


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the pairs (x[i], x[i + half]) by the angles whose cosine and sine are given, in at least float32."""
    first, second = widen(x).chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1).to(x.dtype)
