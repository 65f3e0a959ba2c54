"""Whether an update's numbers are finite: known on the device at once, read by the host when that costs no wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from trm_cli.models.supervision.carry import Carry
from trm_cli.training.hardware.arriving import Arriving


class Found(NamedTuple):
    """A verdict as the host reads it. norms: of each group of gradients; scale: 1 where nothing is scaled."""

    loss_is_finite: bool
    gradients_are_finite: bool
    loss: float
    scale: float
    norms: list[float]


@dataclass(frozen=True)
class Verdict:
    """Of update `step`. loss, gradients: 0-dim bool on the device.

    before, batch, draws: what the update was computed from. counted: the optimizer has counted the update already,
    whatever the verdict is.
    """

    step: int
    loss: Tensor
    gradients: Tensor
    before: Carry
    batch: dict[str, Tensor]
    draws: Tensor
    counted: bool
    _numbers: Arriving

    @classmethod
    def of(
        cls,
        step: int,
        finite: Tensor,
        numbers: Sequence[Tensor],
        computed_from: tuple[Carry, dict[str, Tensor], Tensor],
        *,
        counted: bool,
    ) -> Verdict:
        """finite: bool [2], loss and gradients; numbers: the loss, the scale and the norms [G]. Starts their copy."""
        loss, gradients = finite.unbind()
        together = torch.cat([finite.float(), *(value.detach().float().reshape(-1) for value in numbers)])
        return cls(step, loss, gradients, *computed_from, counted, Arriving.of(together))

    def read(self) -> Found:
        """Wait until the device has got there; after another update was launched, it has."""
        loss_is, gradients_are, loss, scale, *norms = self._numbers.read().tolist()
        return Found(bool(loss_is), bool(gradients_are), loss, scale, norms)
