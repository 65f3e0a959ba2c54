"""Check whether an update's numbers are finite: at once on the device; the host reads it when that costs no wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from trm_cli.models.supervision.carry import Carry
from trm_cli.training.hardware.async_host_copy import AsyncHostCopy


class HostUpdateCheck(NamedTuple):
    """An update check as the host reads it. norms: of each group of gradients; scale: 1 where nothing is scaled."""

    loss_is_finite: bool
    gradients_are_finite: bool
    loss: float
    scale: float
    norms: list[float]


@dataclass(frozen=True)
class UpdateCheck:
    """Whether loss and gradients of update `step` are finite: 0-dim bool on the device.

    before, batch, draws: what the update was computed from. counted: the optimizer has counted the update already,
    whatever the check says.
    """

    step: int
    loss: Tensor
    gradients: Tensor
    before: Carry
    batch: dict[str, Tensor]
    draws: Tensor
    counted: bool
    _numbers: AsyncHostCopy

    @classmethod
    def of(
        cls,
        step: int,
        finite: Tensor,
        numbers: Sequence[Tensor],
        computed_from: tuple[Carry, dict[str, Tensor], Tensor],
        *,
        counted: bool,
    ) -> UpdateCheck:
        """finite: bool [2], loss and gradients; numbers: the loss, the scale and the norms [G]. Starts their copy."""
        loss, gradients = finite.unbind()
        together = torch.cat([finite.float(), *(value.detach().float().reshape(-1) for value in numbers)])
        return cls(step, loss, gradients, *computed_from, counted, AsyncHostCopy.of(together))

    def read(self) -> HostUpdateCheck:
        """Wait for the copy; once another update was launched, it is complete."""
        loss_is, gradients_are, loss, scale, *norms = self._numbers.read().tolist()
        return HostUpdateCheck(bool(loss_is), bool(gradients_are), loss, scale, norms)
