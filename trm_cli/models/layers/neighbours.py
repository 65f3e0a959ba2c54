"""Mix each cell of a square board with its eight neighbours, feature by feature."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor


def mix_neighbours(h: Tensor, weights: Tensor) -> Tensor:
    """A depthwise 3x3 convolution over the board, zeros around it: h [B, side * side, D], [D, 1, 3, 3] -> [B, L, D]."""
    side = math.isqrt(h.shape[1])
    board = h.mT.unflatten(2, (side, side))
    return F.conv2d(board, weights, padding=1, groups=h.shape[2]).flatten(2).mT
