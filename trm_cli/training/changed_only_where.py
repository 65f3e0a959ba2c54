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
    kept = [] if condition is None else [tensor.clone() for tensor in tensors]
    yield
    if condition is not None:
        for tensor, before in zip(tensors, kept, strict=True):
            torch.where(condition, tensor, before, out=tensor)
