"""Define the interface of networks that read a canvas: generate text, and trace where the capsules attend."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from trm_cli.models.layers.sampling import Sampling
from trm_cli.models.network import Network


@dataclass(frozen=True)
class CapsuleStep:
    """One supervision step, for people to look at; float32 on the network's device unless noted.

    answer int64 [B, T]; q_halt [B]: logit that the answer is right; maps [B, K, P]: where each capsule looks (sum 1
    over the patches, row by row); residual [B, K]: what each sketch has lost, None where no children tell; opened bool
    [B, K]: whose children were visible; path_shares [B, paths] and gate [B] of the planner, or None; q [B, 3] or None
    and action int64 [B] by the order of Action.
    """

    answer: Tensor
    q_halt: Tensor
    maps: Tensor
    residual: Tensor | None
    opened: Tensor
    path_shares: Tensor | None
    gate: Tensor | None
    q: Tensor | None
    action: Tensor


@dataclass(frozen=True)
class CapsuleTrace:
    """A batch thought through to the last step. pixels [B, 3, H, W]; grid: rows and columns of capsules;
    patches_per_side: of the canvas."""

    pixels: Tensor
    grid: tuple[int, int]
    patches_per_side: int
    steps: tuple[CapsuleStep, ...]


class CanvasNetwork(Network):
    """A network that reads pictures, grids and text off a canvas, through capsules."""

    @property
    @abstractmethod
    def canvas_size(self) -> int:
        """Side of the canvas in pixels."""

    @abstractmethod
    def trace(self, batch: Mapping[str, Tensor]) -> CapsuleTrace:
        """What is looked at, opened, planned and wanted in every step of an evaluation of the batch."""

    @abstractmethod
    def continue_text(
        self,
        batch: Mapping[str, Tensor],
        count: int,
        sampling: Sampling,
        draws: Tensor | None = None,
        *,
        speakable: Tensor | None = None,
    ) -> Iterator[Tensor]:
        """Continue the text on the canvases by up to `count` tokens, each int64 [B] as soon as it is chosen.

        draws: uniform [B, count]; speakable bool [V]: the tokens that may be chosen. The end mark does not stop it.
        Raises ValueError where draws are missing.
        """
