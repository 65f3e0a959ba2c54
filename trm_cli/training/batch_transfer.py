"""Copy the batch of an update to its device: rows, draws and clock in one copy, and the layouts of its passes.

Which rows an update computes is known on the device alone: a row that halted in the update before gives its place to
the next one. Where shapes follow from the rows, the host reads that one flag a row while the backward pass of the
update before is still under way, and knows the rest: it has seen every row that it sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from trm_cli.models.network import StepClock
from trm_cli.models.upload import computes_apart, to_device
from trm_cli.schedule.clock import Clock
from trm_cli.training.state.training_state import TrainingState
from trm_cli.training.step import slices

#: What is copied to the device together with the fields of a batch.
_DRAWS, _CLOCK, _LAYOUT = " draws", " clock", " layout"


class DeviceBatch(NamedTuple):
    """On the device: fields of the batch [b, ...], draws [b, K] and clock.

    layouts: precomputed shapes of each micro-batch; None where shapes may be read from the tensors (no device sync to
    avoid).
    """

    batch: dict[str, Tensor]
    draws: Tensor
    clock: StepClock
    layouts: list[Any] | None


class BatchTransfer:
    """Copies the batch of one update after the other to a device.

    micro_batch_size: rows that are computed at once, None = all.
    """

    def __init__(self, state: TrainingState, device: torch.device, micro_batch_size: int | None) -> None:
        self._state, self._device, self._micro_batch_size = state, device, micro_batch_size
        #: Of the rows that the device has now: their outlines, and the steps that they have done.
        self._known: tuple[dict[str, Tensor], Tensor] | None = None

    def send(self, fields: Mapping[str, NDArray[Any]], draws: NDArray[np.float32], clock: Clock[float]) -> DeviceBatch:
        """Copy the batch of the next update."""
        rows = {name: torch.from_numpy(array) for name, array in fields.items()}
        leaves, tree = tree_flatten(self._layouts(rows, len(draws)))
        places = {f"{_LAYOUT} {place}": place for place, leaf in enumerate(leaves) if isinstance(leaf, Tensor)}
        moved = to_device(
            {
                **rows,
                **{name: leaves[place] for name, place in places.items()},
                _DRAWS: torch.from_numpy(draws),
                _CLOCK: torch.from_numpy(np.array(clock.numbers(), dtype=np.float32)),
            },
            self._device,
        )
        for name, place in places.items():
            leaves[place] = moved.pop(name)
        numbers = moved.pop(_CLOCK).unbind()
        return DeviceBatch(moved, moved.pop(_DRAWS), clock.on_device(numbers), tree_unflatten(leaves, tree))

    def _layouts(self, fields: Mapping[str, Tensor], rows: int) -> list[Any] | None:
        """The layout of each micro-batch, in host memory; None where shapes may be read from the tensors."""
        if not computes_apart(self._device):
            return None
        coming = self._state.model.outline(fields)
        if not coming:
            return None
        known, steps = self._taken(coming, torch.zeros(rows, dtype=torch.int64))
        self._known = known, steps + 1
        return [
            self._state.model.layout({name: value[part] for name, value in known.items()}, steps[part])
            for part in slices(rows, self._micro_batch_size)
        ]

    def _taken(self, coming: dict[str, Tensor], steps: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The outlines of the rows of this update, and the steps that they have done."""
        carry = self._state.carry
        if carry is None:
            return coming, steps
        if self._known is None or self._state.halted is None:  # a saved run goes on: its rows are read once
            outlines = self._state.model.outline({name: value.cpu() for name, value in carry.data.items()})
            done, halted = carry.steps.cpu().long(), carry.halted.cpu()
        else:
            outlines, done = self._known
            halted = torch.from_numpy(np.concatenate([flags.read() for flags in self._state.halted]))
        known = {
            name: torch.where(halted.view(-1, *(1,) * (value.ndim - 1)), value, outlines[name])
            for name, value in coming.items()
        }
        return known, done.masked_fill(halted, 0)
