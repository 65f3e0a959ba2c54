"""Gather the rows of all ranks, for what a model learns from a whole batch instead of row by row.

A model that computes some rows of a batch asks here for all of them. What it then keeps (replay, usual details) is
the same in every process, as if one of them had computed the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class AllRanks(Protocol):
    """Interface of the gathering; every rank calls it at the same place of the same step."""

    def rows(self, total: int) -> slice:
        """Which of `total` rows are this process's."""

    def gather(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The rows of all processes in their order, detached: [b, ...] each -> [B, ...]."""


class OnlyRank:
    """A single process, which has all rows itself."""

    def rows(self, total: int) -> slice:
        """All of them."""
        return slice(0, total)

    def gather(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The same."""
        return list(tensors)
