"""Define the interface of networks with capsules: trace where the capsules attend."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from trm_cli.models.network import Network


@dataclass(frozen=True)
class CapsuleStep:
    """One supervision step, for people to look at; float32 on the network's device unless noted.

    answer int64 [B, S]; q_halt [B]: logit that the answer is right; maps [B, K, N]: where each capsule looks among the
    N tokens of the row (at most 1 in sum: it may look at nothing); residual [B, K]:
    what each sketch has lost, None where no children tell; opened bool [B, K]: whose children were visible; path_shares
    [B, paths] of the planner, or None; q [B, 3] or None and action int64 [B] by the order of Action.
    """

    answer: Tensor
    q_halt: Tensor
    maps: Tensor
    residual: Tensor | None
    opened: Tensor
    path_shares: Tensor | None
    q: Tensor | None
    action: Tensor


@dataclass(frozen=True)
class CapsuleTrace:
    """A batch of one kind thought through to the last step. grid: rows and columns of capsules."""

    grid: tuple[int, int]
    steps: tuple[CapsuleStep, ...]


class CapsuleNetwork(Network):
    """A network that reads cells, bytes and patches, with capsules beside them."""

    @abstractmethod
    def trace(self, batch: Mapping[str, Tensor]) -> CapsuleTrace:
        """What is looked at, opened, planned and wanted in every step of an evaluation of rows of one kind."""
