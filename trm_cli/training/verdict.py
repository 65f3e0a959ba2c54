"""Whether an update's numbers are finite: known on the device at once, read by the host when that costs no wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from trm_cli.models.layers.carry import Carry


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
    _numbers: Tensor
    _copied: torch.cuda.Event | None

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
        return cls(step, loss, gradients, *computed_from, counted, *_to_host(together))

    def read(self) -> Found:
        """Wait until the device has got there; after another update was launched, it has."""
        if self._copied is not None:
            self._copied.synchronize()
        loss_is, gradients_are, loss, scale, *norms = self._numbers.tolist()
        return Found(bool(loss_is), bool(gradients_are), loss, scale, norms)


def _to_host(numbers: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """A copy that is under way to pinned memory, and the event after it; elsewhere the numbers as they are."""
    if numbers.device.type != "cuda":
        return numbers, None
    host = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
    host.copy_(numbers, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()
    return host, copied
