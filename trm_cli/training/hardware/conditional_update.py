"""Update tensors under a condition that only the device knows, without waiting for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def conditional_update(condition: Tensor | None, tensors: Sequence[Tensor]) -> Iterator[None]:
    """Undo what the block does to `tensors` in place where `condition`, 0-dim bool on the device, is false.

    Keeps a copy of them meanwhile. None: there is no condition, and nothing is copied.
    """
    if condition is None or not tensors:
        yield
        return
    kept = torch._foreach_mul(list(tensors), 1.0)  # copies of all of them, in one kernel
    yield
    for tensor, before in zip(tensors, kept, strict=True):
        torch.where(condition, tensor, before, out=tensor)
