"""Cut boards to the smallest square that holds what is on them, and put them back: nothing outside is computed."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def side_of(cells: Tensor) -> int:
    """The side of boards [..., side * side]."""
    return math.isqrt(cells.shape[-1])


def needed_side(*marked: Tensor) -> int:
    """The smallest side that holds every marked cell, of bool [B, side * side] each; at least 1."""
    side = side_of(marked[0])
    if marked[0].is_meta:
        return side
    boards = torch.stack([one.any(0) for one in marked]).any(0).view(side, side)
    lines = (boards.any(0) | boards.any(1)).nonzero()
    return int(lines.max()) + 1 if len(lines) else 1


def needed_sides(marked: Tensor) -> Tensor:
    """The smallest side, at least 1, that holds the marked cells of each board: bool [..., n * n] -> int64 [...]."""
    side = side_of(marked)
    boards = marked.unflatten(-1, (side, side))
    lines = boards.any(-1) | boards.any(-2)
    last: Tensor = (lines * torch.arange(1, side + 1, device=marked.device)).amax(-1)
    return last.clamp_min(1)


def asked_side(cells: Tensor, target: Tensor, ignored: int) -> int:
    """The side that inputs uint8 [B, side * side] and labels int [B, side * side] need: all of it where a grid has no
    labels, since its answer may be of any size.
    """
    asked, given = target != ignored, cells > 0
    if not cells.is_meta and bool((given.any(1) & ~asked.any(1)).any()):
        return side_of(cells)
    return needed_side(given, asked)


def cut(boards: Tensor, side: int) -> Tensor:
    """Boards [..., n * n] -> their upper left corners [..., side * side]."""
    whole = side_of(boards)
    return boards if side == whole else boards.unflatten(-1, (whole, whole))[..., :side, :side].flatten(-2)


def cut_states(states: Tensor, side: int) -> Tensor:
    """States [B, n * n, d] of boards -> of their corners [B, side * side, d]."""
    return cut(states.mT, side).mT


def widened(states: Tensor, side: int, value: float = 0.0) -> Tensor:
    """States of corners [B, n * n, d] -> of boards of `side`, `value` around them: [B, side * side, d]."""
    small = math.isqrt(states.shape[1])
    if small == side:
        return states
    board = states.unflatten(1, (small, small))
    return functional.pad(board, (0, 0, 0, side - small, 0, side - small), value=value).flatten(1, 2)
