"""Compute a batch a few rows at a time, so that intermediate results stay in the processor's cache."""

from __future__ import annotations

import torch
from torch import Tensor

from trm_cli.models.kernels import choice

# Of the states [rows, L, D] of one chunk: 16 rows of 97 positions and a width of 512.
_CACHED_NUMBERS = 800_000


def on_processor(x: Tensor) -> bool:
    """Whether x is computed by the processor, in whose cache it should stay."""
    return x.device.type == "cpu"


def cached_rows(x: Tensor) -> list[slice]:
    """Parts of the first axis of x [B, ...] that fit into a processor's cache with what is computed from them.

    One part with all rows on other devices, and where kernels are off.
    """
    rows = x.shape[0]
    if rows == 0 or not (choice.enabled() and on_processor(x)):
        return [slice(0, rows)]
    size = max(1, _CACHED_NUMBERS * rows // max(1, x.numel()))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def joined(parts: list[Tensor]) -> Tensor:
    """What was computed for each of `cached_rows`, one after the other; a copy only if there are several."""
    return torch.cat(parts) if len(parts) > 1 else parts[0]
