"""Take tensors to a device: all of them in one copy, from pinned memory, so that nobody waits for it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

#: Every part begins at a multiple of this, so that it can be viewed as any type.
_ALIGNED = 16


def computes_apart(device: torch.device) -> bool:
    """Whether the host goes on while the device computes, so that reading a number is a wait."""
    return device.type != "cpu"


def to_device(tensors: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Tensors of the host on a device; on a processor they are the same."""
    return dict(tensors) if device.type == "cpu" else packed(tensors, device)


def packed(tensors: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Tensors of the host in one copy to `device`, each a view of it.

    Torch keeps pinned memory until the copy has been made, and then uses it again.
    """
    starts, size = {}, 0
    for name, tensor in tensors.items():
        starts[name] = size
        size += -(-tensor.nbytes // _ALIGNED) * _ALIGNED
    pinned = device.type == "cuda"
    host = torch.empty(size, dtype=torch.uint8, pin_memory=pinned)
    for name, tensor in tensors.items():
        _part(host, starts[name], tensor).copy_(tensor)
    moved = host.to(device, non_blocking=pinned)
    return {name: _part(moved, starts[name], tensor) for name, tensor in tensors.items()}


def _part(buffer: Tensor, start: int, like: Tensor) -> Tensor:
    return buffer[start : start + like.nbytes].view(like.dtype).view(like.shape)
