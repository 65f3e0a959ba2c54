"""Change tensors under a condition that only the device knows, without a wait for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def changed_only_where(condition: Tensor | None, tensors: Sequence[Tensor]) -> Iterator[None]:
    """What the block does to `tensors` in place is taken back where `condition`, 0-dim bool, is false.

    Costs a copy of them meanwhile. None: there is no condition, and nothing is copied.
    """
    if condition is None or not tensors:
        yield
        return
    kept = torch._foreach_mul(list(tensors), 1.0)  # copies of all of them, in one kernel
    yield
    for tensor, before in zip(tensors, kept, strict=True):
        torch.where(condition, tensor, before, out=tensor)
