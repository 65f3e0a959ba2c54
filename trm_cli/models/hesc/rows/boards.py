"""Cut boards to what is on them, and put them back: nothing else is computed.

Everywhere boards are cut to the smallest square that holds what any row of the batch needs. On a processor, where a
multiplication less is time won, each row's cells are then `packed`: only those that hold a symbol or are asked for.
A cell that is neither is looked at by nobody, so the numbers are the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

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


def answer_labels(boards: Tensor, sizes: Tensor, end: int, first_colour: int, ignored: int) -> Tensor:
    """The labels of answers uint8 [B, side * side] of some height and width [B, 2]: int64 [B, side * side].

    Colours, and end marks on the row below the answer and the column to its right, as a dataset lays them.
    """
    line = torch.arange(side_of(boards), device=boards.device)
    height, width = (sizes[:, axis, None, None].long() for axis in (0, 1))
    row, column = line[:, None], line
    ends = ((row == height) & (column < width)) | ((column == width) & (row < height))
    colours = torch.where(boards > 0, boards.long() + (first_colour - 1), ignored)
    return torch.where(ends.flatten(1), end, colours)


class Packed(NamedTuple):
    """Some cells of the squares of b rows. where int64 [b, N]: which ones, no cell twice; side: of the squares."""

    where: Tensor
    side: int

    def flat(self) -> Tensor:
        """The cells, counted through all rows: int64 [b * N]."""
        first = torch.arange(len(self.where), device=self.where.device)[:, None] * self.side**2
        return (self.where + first).flatten()

    def take(self, squares: Tensor) -> Tensor:
        """[b, side * side, ...] -> [b, N, ...]."""
        taken: Tensor = squares.flatten(0, 1).index_select(0, self.flat()).unflatten(0, self.where.shape)
        return taken

    def put(self, values: Tensor, fill: float = 0.0) -> Tensor:
        """[b, N, ...] -> [b, side * side, ...], `fill` in all other cells."""
        rows, cells = len(self.where), self.side**2
        squares = values.new_full((rows * cells, *values.shape[2:]), fill)
        filled: Tensor = squares.index_copy(0, self.flat(), values.flatten(0, 1)).unflatten(0, (rows, cells))
        return filled

    def on(self, side: int) -> Packed:
        """The same cells of larger squares."""
        return Packed(self.where // self.side * side + self.where % self.side, side)


def whole(states: Tensor, side: int, some: Packed | None) -> Tensor:
    """States [b, N, d] of some cells, of the corner of a board, or (side 0) of no board -> of all of its places."""
    if some is not None:
        return some.put(states)
    return widened(states, side) if side else states


def needed_cells(cells: Tensor, target: Tensor, ignored: int) -> Tensor:
    """Cells uint8, labels int [B, n * n] -> which cells hold a symbol or are asked for; all where nothing is asked."""
    asked = target != ignored
    return (cells > 0) | asked | ~asked.any(1, keepdim=True)


def packed(needed: Tensor) -> Packed:
    """The needed cells bool [B, n * n] of each row, and others up to the number of the row that needs most."""
    count = max(1, int(needed.sum(1).max()))
    return Packed((~needed).byte().argsort(dim=1, stable=True)[:, :count], side_of(needed))


def by_size(needed: Tensor, least: int, most: int) -> Sequence[Tensor]:
    """Rows of bool [B, n * n] in groups of similar numbers of needed cells: at most `most`, of `least` rows or more."""
    order = needed.sum(1).argsort(stable=True)
    return order.tensor_split(max(1, min(most, len(order) // least)))
