"""Copy numbers from a device to the host without waiting: the copy starts at once, and is read when it is complete."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class AsyncHostCopy:
    """A device-to-host copy that was started without waiting; on CUDA into pinned memory."""

    _host: Tensor
    _copied: torch.cuda.Event | None

    @classmethod
    def of(cls, tensor: Tensor) -> AsyncHostCopy:
        """Start the copy; it is made after all work that was launched before."""
        if tensor.device.type != "cuda":
            return cls(tensor, None)
        host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        host.copy_(tensor, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record()
        return cls(host, copied)

    def read(self) -> NDArray[Any]:
        """Wait for this copy, not for work launched after it; return the numbers."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._host.cpu().numpy()
