"""RMS norm of a residual sum, forward and backward a few rows at a time.

Autograd would keep the sum, its square and its widened copy. This keeps the result, which the next product keeps
anyway, and one number for each norm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trm_cli.models.kernels.cache import cached_rows, joined
from trm_cli.models.numerics import RMS_NORM_EPSILON, widen


def add_rms_norm(a: Tensor, b: Tensor, dim: int = -1) -> Tensor:
    """`s / rms(s)` of `s = a + b` along `dim`, which is not the first; a, b and the result have one shape."""
    if not torch.is_grad_enabled():
        return _forward(a, b, dim)[0]
    result: Tensor = AddRMSNorm.apply(a, b, dim)
    return result


class AddRMSNorm(torch.autograd.Function):
    """`y = s / rms(s)`, `s = a + b`, over `dim`, which is not the first; keeps y and 1 / rms(s).

    Gradient: with r = 1 / rms, ds = r * (dy - y * mean(dy * y)), the same for a and b. First derivatives only: asking
    for a second one raises.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, dim: int) -> Tensor:
        """Shapes and types of a, b and the result are equal."""
        result, inverse = _forward(a, b, dim)
        ctx.save_for_backward(result, inverse)
        ctx.dim = dim
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """One tensor serves both summands."""
        result, inverse = ctx.saved_tensors
        grad_sum = torch.empty_like(result)
        for rows in cached_rows(grad):
            wide_grad, wide_result = widen(grad[rows]), widen(result[rows])
            projection = (wide_grad * wide_result).mean(ctx.dim, keepdim=True)
            across = torch.addcmul(wide_grad, wide_result, projection, value=-1.0)
            torch.mul(across, inverse[rows], out=grad_sum[rows])
        return grad_sum, grad_sum, None


def _forward(a: Tensor, b: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The normed sum, and `1 / rms(s)` in at least float32."""
    result, inverses = torch.empty_like(a, memory_format=torch.contiguous_format), []
    for rows in cached_rows(a):
        total = widen(a[rows] + b[rows])
        inverses.append(torch.rsqrt((total * total).mean(dim, keepdim=True) + RMS_NORM_EPSILON))
        torch.mul(total, inverses[-1], out=result[rows])
    return result, joined(inverses)
