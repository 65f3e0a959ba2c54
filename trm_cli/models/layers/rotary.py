"""Rotary position embedding (RoPE): rotate queries and keys by angles that grow with their positions."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

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


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the pairs (x[i], x[i + half]) by the angles whose cosine and sine are given, in at least float32."""
    first, second = widen(x).chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1).to(x.dtype)
