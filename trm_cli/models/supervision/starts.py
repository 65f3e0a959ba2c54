"""Random starts of carried states: a trained start moved by a normal vector, from uniform numbers of the caller."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor


def normal(draws: Tensor) -> Tensor:
    """Standard normal numbers [B, n] from uniform ones in [0, 1), [B, 2n], by Box and Muller."""
    first, second = draws.chunk(2, -1)
    return (-2 * torch.log1p(-first)).sqrt() * torch.cos(2 * math.pi * second)


def moved(states: Mapping[str, Tensor], draws: Tensor, scale: float) -> dict[str, Tensor]:
    """States [B, L, D], each with a normal vector of this scale [B, D] added to all its positions alike.

    That is how an evaluation moves its starts as well: what is trained to be robust is what it varies. draws: uniform,
    [B, states * 2D].
    """
    parts = draws.chunk(len(states), -1)
    return {
        name: state + scale * normal(part)[:, None].to(state.dtype)
        for (name, state), part in zip(states.items(), parts, strict=True)
    }
