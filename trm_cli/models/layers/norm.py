"""Root-mean-square norm without a learned gain, alone and of a residual sum."""

from __future__ import annotations

import torch
from torch import Tensor

from trm_cli.models.kernels import norm as kernel
from trm_cli.models.kernels.choice import computed_by
from trm_cli.models.numerics import RMS_NORM_EPSILON, widen


def rms_norm(x: Tensor, dim: int = -1) -> Tensor:
    """`x / sqrt(mean(x^2) + eps)` along `dim`, computed in at least float32 and rounded back to the type of x."""
    wide = widen(x)
    inverse_rms = torch.rsqrt((wide * wide).mean(dim, keepdim=True) + RMS_NORM_EPSILON)
    return (wide * inverse_rms).to(x.dtype)


@computed_by(kernel.add_rms_norm)
def add_rms_norm(a: Tensor, b: Tensor, dim: int = -1) -> Tensor:
    """`rms_norm(a + b)` along `dim`, which is not the first; a, b and the result have one shape."""
    return rms_norm(a + b, dim)
