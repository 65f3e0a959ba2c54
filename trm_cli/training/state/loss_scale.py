"""The scale of the loss in float16, without which small gradients would become zero."""

from __future__ import annotations

import torch
from torch import Tensor

#: At this scale float16 gradients overflow although nothing was multiplied: lowering it further cannot help.
SMALLEST_SCALE = 1.0


class LossScale(torch.amp.GradScaler):
    """torch's scaler, which is told from outside what was finite: it sees the trunk's gradients alone, and not those of
    the puzzle table.
    """

    def current(self) -> Tensor:
        """The scale, 0-dim, on the device; a copy."""
        scale, _ = self._check_scale_growth_tracker("current")
        return scale.clone()

    def judge(self, loss: Tensor, gradients: Tensor) -> None:
        """Let the scale fall where a gradient was not finite, and grow after enough updates without one.

        loss, gradients: 0-dim bool on the device, whether they are finite. A loss that is not says nothing about the
        scale of the gradients.
        """
        scale, since = self._check_scale_growth_tracker("judge")
        before = scale.clone(), since.clone()
        torch._amp_update_scale_(
            scale,
            since,
            (~gradients).to(scale.dtype),
            self._growth_factor,
            self._backoff_factor,
            self._growth_interval,
        )
        for value, kept in zip((scale, since), before, strict=True):
            torch.where(loss, value, kept, out=value)
        self._per_optimizer_states.clear()  # as `update` does: the next unscaling begins anew
