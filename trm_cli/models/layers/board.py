"""Relations between the cells of a square board, for mixing that knows rows, columns and boxes or neighbours."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

#: How much more a head looks, at first, within its group than elsewhere: exp(4) times.
_PREFERENCE = 4.0


class Relations(NamedTuple):
    """Which cells belong together.

    members: bool [N, L], the positions of each group (row, column, box or neighbourhood), and last all positions.
    kinds: int64 [L, L], the kind of relation of each pair of positions. groups: bool [R, G], whether a pair of each
    shares row, column, and box or neighbourhood; the last kind is with a position off the board.
    """

    members: Tensor
    kinds: Tensor
    groups: Tensor

    def preferences(self, heads: int) -> Tensor:
        """A first bias [heads, R]: in turn the heads look along rows, columns, boxes (or neighbours), everywhere."""
        everywhere = torch.ones(len(self.groups), 1, dtype=torch.bool)
        chosen = torch.cat((self.groups, everywhere), 1).T[torch.arange(heads) % (self.groups.shape[1] + 1)]
        return _PREFERENCE * chosen.float()

    def units(self, count: int) -> Tensor:
        """Which positions each of `count` hidden units looks at first: those of the groups in turn, bool [count, L]."""
        return self.members[torch.arange(count) % len(self.members)]


def board_side(cells: int, key: str) -> int:
    """The side of a square board of so many cells. Raises ValueError, naming the key, where there is none."""
    side = math.isqrt(cells)
    if side * side != cells:
        raise ValueError(f"{key} is for square boards, and {cells:,} cells make none.")
    return side


def board_relations(cells: int, box: tuple[int, int] | None, prefix: int = 0) -> Relations:
    """Relations of a square board of `cells` cells, after `prefix` positions that are off it.

    box: (rows, columns) of a box, as in a Sudoku; None: the third group is a cell with its four neighbours. Raises
    ValueError where the cells make no square, or boxes do not tile it.
    """
    side = board_side(cells, "pos_encodings board")
    if box is not None and (side % box[0] or side % box[1]):
        raise ValueError(f"Boxes of {box[0]} rows and {box[1]} columns do not tile a board of {side} x {side}.")
    place = torch.arange(cells)
    row, column = place // side, place % side
    if box is None:
        third = (row[:, None] - row).abs() + (column[:, None] - column).abs() <= 1
    else:
        third = _same(row // box[0] * side + column // box[1])
    shared = torch.stack((_same(row), _same(column), third))  # [G, cells, cells]
    bits = 2 ** torch.arange(len(shared))
    kinds = torch.full((prefix + cells,) * 2, 2 ** len(shared))
    kinds[prefix:, prefix:] = (shared * bits[:, None, None]).sum(0)
    numbers = torch.arange(2 ** len(shared) + 1)
    groups = (numbers[:, None] & bits).bool() & (numbers < 2 ** len(shared))[:, None]
    return Relations(_members(shared, prefix), kinds, groups)


def _members(shared: Tensor, prefix: int) -> Tensor:
    """The distinct groups of cells, and all positions: bool [N, L]."""
    groups = torch.cat([group.unique(dim=0) for group in shared])
    groups = torch.nn.functional.pad(groups, (prefix, 0))
    return torch.cat((groups, torch.ones_like(groups[:1])))


def _same(values: Tensor) -> Tensor:
    return values[:, None] == values
