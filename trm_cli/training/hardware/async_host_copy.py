"""Numbers on their way from a device to the host: the copy starts at once, and is read when it has been made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Arriving:
    """A tensor that the host will read. On CUDA it goes to pinned memory, so that the host need not stand by."""

    _host: Tensor
    _copied: torch.cuda.Event | None

    @classmethod
    def of(cls, tensor: Tensor) -> Arriving:
        """Start the copy, after all that the device has been given to do."""
        if tensor.device.type != "cuda":
            return cls(tensor, None)
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        host.copy_(tensor, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record()
        return cls(host, copied)

    def read(self) -> NDArray[Any]:
        """Wait until the device has got there, and no further; the numbers."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._host.cpu().numpy()
