"""Residual norm, gated MLP and rotated heads with gradients written out by hand.

Autograd would keep every intermediate of these formulas. The versions here keep only what the next matrix product
keeps anyway and recompute the rest, which lowers the peak memory of a training step by about a third. They are first
derivatives only: asking for a second one raises.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from trm_cli.models import formulas


class AddRMSNorm(torch.autograd.Function):
    """`y = s / rms(s)`, `s = a + b`, over `dim`, which is not the first; keeps y and 1/rms(s).

    Gradient: with r = 1/rms, ds = r * (dy - y * mean(dy * y)), the same for a and b.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, dim: int) -> Tensor:
        """Shapes and types of a, b and the result are equal."""
        result, inverses = torch.empty_like(a, memory_format=torch.contiguous_format), []
        for rows in formulas.cached_rows(a):
            total = formulas.widen(a[rows] + b[rows])
            inverses.append(formulas.inverse_rms(total, dim))
            torch.mul(total, inverses[-1], out=result[rows])
        ctx.save_for_backward(result, torch.cat(inverses))
        ctx.dim = dim
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """One tensor serves both summands."""
        result, inverse = ctx.saved_tensors
        grad_sum = torch.empty_like(result)
        for rows in formulas.cached_rows(grad):
            wide_grad, wide_result = formulas.widen(grad[rows]), formulas.widen(result[rows])
            projection = (wide_grad * wide_result).mean(ctx.dim, keepdim=True)
            across = torch.addcmul(wide_grad, wide_result, projection, value=-1.0)
            torch.mul(across, inverse[rows], out=grad_sum[rows])
        return grad_sum, grad_sum, None


class SwiGLU(torch.autograd.Function):
    """`silu(gate) * up @ w_down.T` with `gate, up = x @ w_gate_up.T`; keeps x and that product.

    The hidden layer lies unit by unit, not position by position (`formulas.units`). A few rows at a time stay in the
    cache, forward and backward.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, w_gate_up: Tensor, w_down: Tensor) -> Tensor:
        """X [..., n], w_gate_up [2I, n], w_down [n, I]; result [..., n]."""
        result, kept = torch.empty_like(x, memory_format=torch.contiguous_format), []
        for rows in formulas.cached_rows(x):
            kept.append(formulas.units(x[rows], w_gate_up))
            hidden = formulas.gated_without_graph(kept[-1], dim=0)
            torch.mm(hidden.T, w_down.T, out=result[rows].flatten(0, -2))
        ctx.save_for_backward(x, w_gate_up, w_down, *kept)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The hidden layer is computed again instead of being kept."""
        x, w_gate_up, w_down, *kept = ctx.saved_tensors
        grad = grad.contiguous()
        grad_x = torch.empty_like(grad)
        grad_in, grad_down = grad.new_empty(0), grad.new_empty(0)
        for rows, gate_up in zip(formulas.cached_rows(x), kept, strict=True):
            own_x, own_grad = x[rows].flatten(0, -2), grad[rows].flatten(0, -2)
            grad_hidden, grad_gate_up = formulas.units(own_grad, w_down.T), torch.empty_like(gate_up)
            hidden = torch.empty_like(grad_hidden)
            _gate_backward(gate_up, grad_hidden, hidden, grad_gate_up, dim=0)
            torch.mm(grad_gate_up.T, w_gate_up, out=grad_x[rows].flatten(0, -2))
            grad_in = _add_product(grad_in, grad_gate_up, own_x)
            grad_down = _add_product(grad_down, own_grad.T, hidden.T)
        return grad_x, grad_in, grad_down


class TokenSwiGLU(torch.autograd.Function):
    """SwiGLU over the sequence axis, `w_down @ (silu(gate) * up)` with `gate, up = w_gate_up @ x`: no transposes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w_gate_up: Tensor, w_down: Tensor) -> Tensor:
        """X [B, L, D], w_gate_up [2I, L], w_down [L, I]; result [B, L, D]."""
        gate_up = x.new_empty(x.shape[0], len(w_gate_up), x.shape[2])
        result = torch.empty_like(x, memory_format=torch.contiguous_format)
        for rows in formulas.cached_rows(x):
            formulas.left_multiply(w_gate_up, x[rows], out=gate_up[rows])
            hidden = formulas.gated_without_graph(gate_up[rows], dim=-2)
            formulas.left_multiply(w_down, hidden, out=result[rows])
        ctx.save_for_backward(x, gate_up, w_gate_up, w_down)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of the weights are sums over the batch of [out, D] x [D, in]."""
        x, gate_up, w_gate_up, w_down = ctx.saved_tensors
        hidden = grad.new_empty(grad.shape[0], w_down.shape[1], grad.shape[2])
        grad_gate_up, grad_x = torch.empty_like(gate_up), torch.empty_like(x, memory_format=torch.contiguous_format)
        for rows in formulas.cached_rows(grad):
            grad_hidden = formulas.left_multiply(w_down.T, grad[rows])
            _gate_backward(gate_up[rows], grad_hidden, hidden[rows], grad_gate_up[rows], dim=-2)
            formulas.left_multiply(w_gate_up.T, grad_gate_up[rows], out=grad_x[rows])
        return grad_x, _outer_sum(grad_gate_up, x), _outer_sum(grad, hidden)


class SplitHeads(torch.autograd.Function):
    """Queries, keys and values of one product, queries and keys turned by the angles of their positions.

    Each has memory of its own, so that the product need not be kept for its values, and lies there as the attention
    reads it: head by head for products, position by position for the fused kernel, whose result then needs no copy.
    The gradient of a rotation is the rotation by the opposite angle.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, cos: Tensor | None, sin: Tensor | None, num_heads: int) -> tuple[Tensor, ...]:
        """Qkv [B, L, 3 H hd], cos and sin [L, hd / 2] or None; three times [B, H, L, hd]."""
        ctx.save_for_backward(cos, sin)
        source = formulas.split_heads(qkv, num_heads)
        rows, _, length, width = source[0].shape
        if formulas.softmax_is_faster(qkv, length):
            parts = tuple(qkv.new_empty(rows, num_heads, length, width) for _ in source)
        else:
            parts = tuple(qkv.new_empty(rows, length, num_heads, width).transpose(1, 2) for _ in source)
        _copy_heads(parts, source, None if cos is None or sin is None else (cos, sin))
        return parts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        """Angles have no gradient."""
        cos, sin = ctx.saved_tensors
        rows, num_heads, length, width = grads[0].shape
        grad = grads[0].new_empty(rows, length, 3 * num_heads * width)
        _copy_heads(formulas.split_heads(grad, num_heads), grads, None if cos is None else (cos, -sin))
        return grad, None, None, None


def _copy_heads(target: tuple[Tensor, ...], source: tuple[Tensor, ...], angles: tuple[Tensor, Tensor] | None) -> None:
    """Copy what belongs to queries, keys and values, [B, H, L, hd] each, the first two turned by the angles."""
    for rows in formulas.cached_rows(target[0]):
        for place, (part, own) in enumerate(zip(target, source, strict=True)):
            part[rows] = own[rows] if angles is None or place == 2 else formulas.rotate(own[rows], *angles)


def _gate_backward(gate_up: Tensor, grad_hidden: Tensor, hidden: Tensor, grad_gate_up: Tensor, dim: int) -> None:
    """Fill in `hidden = silu(gate) * up` and the gradient of gate_up; gate and up lie side by side along `dim`."""
    gate, up = gate_up.chunk(2, dim)
    activated = F.silu(gate)
    grad_gate, grad_up = grad_gate_up.chunk(2, dim)
    torch.mul(grad_hidden, activated, out=grad_up)
    torch.mul(activated, up, out=hidden)
    torch.ops.aten.silu_backward.grad_input(grad_hidden.mul_(up), gate, grad_input=grad_gate)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """`total + left @ right` in the memory of total; the product alone where total is empty."""
    return total.addmm_(left, right) if total.numel() else left @ right


def _outer_sum(left: Tensor, right: Tensor) -> Tensor:
    """`sum_b left[b] @ right[b].T` for [B, m, D] and [B, n, D]: [m, n]."""
    if formulas.on_processor(left):
        # addbmm accumulates in place, one product after the other; on other devices that would be B launches. A result
        # that is wider than it is high takes a tenth less time.
        if left.shape[1] > right.shape[1]:
            return _outer_sum(right, left).T.contiguous()
        return torch.addbmm(left.new_zeros(left.shape[1], right.shape[1]), left, right.mT, beta=0)
    return torch.bmm(left, right.mT).sum(0)
