"""Gated MLP and residual norm without a recorded gradient: by compiled loops, or operation by operation.

Every operation of torch reads and writes all of its numbers, and rounds them. `elementwise_loops` does a whole formula
at once, in a third to a half of the time. Its loops run in the thread that calls them, while torch divides each
operation among its threads: so they are used where there is one.
"""

from __future__ import annotations

from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor

from trm_cli.models.kernels import elementwise_operators as operators
from trm_cli.models.layers import formulas

# Fewer numbers are not worth half a second and 110 MiB for loading the loops: thousands of calls of this size are.
# A last slice of few rows is thus computed by torch, which rounds more often.
_WORTH_LOADING = 200_000

#: How many rows each row stands for, where a few are carried out in place of many to see what those would take.
rows_of_each: ContextVar[float] = ContextVar("rows_of_each", default=1.0)


def gated(gate: Tensor, up: Tensor) -> Tensor:
    """`silu(gate) * up`, [B, ...] each, which lie alike."""
    if not _by_loop(gate, up):
        return F.silu(gate).mul_(up)
    return operators.gated(gate, up)


def gated_backward(gate: Tensor, up: Tensor, grad_hidden: Tensor, grad_gate: Tensor, grad_up: Tensor) -> Tensor:
    """The hidden layer `gated(gate, up)`; fills in the gradients of gate and up, in the memory of grad_hidden too.

    Gate and up lie alike, and so do their gradients; grad_hidden has no gaps.
    """
    if _by_loop(gate, up, grad_gate, grad_up):
        operators.gated_backward(gate, up, grad_hidden, grad_gate, grad_up)
        return grad_hidden
    activated = F.silu(gate)
    torch.mul(grad_hidden, activated, out=grad_up)
    torch.ops.aten.silu_backward.grad_input(grad_hidden.mul_(up), gate, grad_input=grad_gate)
    return activated.mul_(up)


def add_rms_norm(a: Tensor, b: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """`s / rms(s)` of `s = a + b` along `dim`, which is not the first, and `1 / rms(s)` in at least float32."""
    if dim in (-1, -2) and _by_loop(a, b, gaps=False):
        return operators.add_rms_norm(a, b, dim)
    result, inverses = torch.empty_like(a, memory_format=torch.contiguous_format), []
    for rows in formulas.cached_rows(a):
        total = formulas.widen(a[rows] + b[rows])
        inverses.append(formulas.inverse_rms(total, dim))
        torch.mul(total, inverses[-1], out=result[rows])
    return result, formulas.joined(inverses)


def add_rms_norm_backward(grad: Tensor, result: Tensor, inverse: Tensor, dim: int) -> Tensor:
    """From the gradient of y = s / rms(s) to that of s: `r (dy - y mean(dy y))`, r = 1 / rms(s)."""
    if dim in (-1, -2) and _by_loop(grad, result, gaps=False):
        return operators.add_rms_norm_backward(grad, result, inverse, dim)
    grad_sum = torch.empty_like(result)
    for rows in formulas.cached_rows(grad):
        wide_grad, wide_result = formulas.widen(grad[rows]), formulas.widen(result[rows])
        projection = (wide_grad * wide_result).mean(dim, keepdim=True)
        across = torch.addcmul(wide_grad, wide_result, projection, value=-1.0)
        torch.mul(across, inverse[rows], out=grad_sum[rows])
    return grad_sum


def _by_loop(x: Tensor, *others: Tensor, gaps: bool = True) -> bool:
    """Whether the loops can and should do it: all lies alike, in lines with gaps between them or without."""
    return (
        x.dtype == torch.bfloat16
        and x.numel() * rows_of_each.get() >= _WORTH_LOADING
        and formulas.on_processor(x)
        and torch.get_num_threads() == 1
        and (x[0] if gaps else x).is_contiguous()
        and all((part.dtype, part.shape, part.stride()) == (x.dtype, x.shape, x.stride()) for part in others)
    )
