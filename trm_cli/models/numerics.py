"""Choose the dtype of activations, and widen them where sums need it."""

from __future__ import annotations

import torch
from torch import Tensor

# float64 is for checking the others, not for training.
FORWARD_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}

#: Added to the mean square before its root is taken.
RMS_NORM_EPSILON = 1e-5


def forward_dtype_named(name: str) -> torch.dtype:
    """The activation type called `name`; ValueError names the possible ones."""
    if name not in FORWARD_DTYPES:
        raise ValueError(f"forward_dtype must be one of {', '.join(FORWARD_DTYPES)}, not {name!r}.")
    return FORWARD_DTYPES[name]


def widen(x: Tensor) -> Tensor:
    """At least float32: half precision is widened, float32 and float64 stay as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
