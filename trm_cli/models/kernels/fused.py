"""Residual norm, gated MLP and rotated heads with gradients written out by hand.

Autograd would keep every intermediate of these formulas. The versions here keep only what the next matrix product
keeps anyway and recompute the rest, which lowers the peak memory of a training step by about a third. They are first
derivatives only: asking for a second one raises.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trm_cli.models.kernels import elementwise
from trm_cli.models.kernels.products import (
    add_outer,
    add_product,
    left_product,
    product,
    rows_of_left_products,
)
from trm_cli.models.layers import formulas


class AddRMSNorm(torch.autograd.Function):
    """`y = s / rms(s)`, `s = a + b`, over `dim`, which is not the first; keeps y and 1/rms(s).

    Gradient: with r = 1/rms, ds = r * (dy - y * mean(dy * y)), the same for a and b.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, dim: int) -> Tensor:
        """Shapes and types of a, b and the result are equal."""
        result, inverse = elementwise.add_rms_norm(a, b, dim)
        ctx.save_for_backward(result, inverse)
        ctx.dim = dim
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """One tensor serves both summands."""
        result, inverse = ctx.saved_tensors
        grad_sum = elementwise.add_rms_norm_backward(grad, result, inverse, ctx.dim)
        return grad_sum, grad_sum, None


class SwiGLU(torch.autograd.Function):
    """`silu(gate) * up @ w_down.T` with `gate, up = x @ w_gate_up.T`, each of its own; keeps x, gate and up.

    A few rows at a time stay in the cache, forward and backward. The gradient of a weight is summed lying on its side:
    of its two factors, that one is then transposed which is narrower.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, w_gate_up: Tensor, w_down: Tensor) -> Tensor:
        """X [..., n], w_gate_up [2I, n], w_down [n, I]; result [..., n]."""
        w_gate, w_up = w_gate_up.chunk(2)
        parts, kept = [], []
        for rows in formulas.cached_rows(x):
            own = x[rows].flatten(0, -2)
            gate, up = product(own, w_gate), product(own, w_up)
            parts.append(product(elementwise.gated(gate, up), w_down))
            kept += [gate, up]
        ctx.save_for_backward(x, w_gate_up, w_down, *kept)
        return formulas.joined(parts).view(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The hidden layer is computed again instead of being kept."""
        x, w_gate_up, w_down, *kept = ctx.saved_tensors
        w_gate, w_up = w_gate_up.chunk(2)
        parts, in_gate, in_up, in_down = [], None, None, None
        for rows, gate, up in zip(formulas.cached_rows(x), kept[::2], kept[1::2], strict=True):
            own_x, own_grad = x[rows].flatten(0, -2), grad[rows].flatten(0, -2)
            grad_gate, grad_up = torch.empty_like(gate), torch.empty_like(up)
            hidden = elementwise.gated_backward(gate, up, product(own_grad, w_down.T), grad_gate, grad_up)
            parts.append(add_product(product(grad_gate, w_gate.T), grad_up, w_up.T))
            in_gate = add_product(in_gate, own_x.T, grad_gate.T)
            in_up = add_product(in_up, own_x.T, grad_up.T)
            in_down = add_product(in_down, own_grad.T, hidden.T)
        assert in_gate is not None and in_up is not None and in_down is not None
        return formulas.joined(parts).view(x.shape), torch.cat((in_gate.T, in_up.T)), in_down


class TokenSwiGLU(torch.autograd.Function):
    """SwiGLU over the sequence axis, `w_down @ (silu(gate) * up)` with `gate, up = w_gate_up @ x`: no transposes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w_gate_up: Tensor, w_down: Tensor) -> Tensor:
        """X [B, L, D], w_gate_up [2I, L], w_down [L, I]; result [B, L, D]."""
        parts, kept = [], []
        for rows in rows_of_left_products(x, w_gate_up):
            kept.append(left_product(w_gate_up, x[rows]))
            parts.append(left_product(w_down, elementwise.gated(*kept[-1].chunk(2, -2))))
        ctx.save_for_backward(x, w_gate_up, w_down, *kept)
        return formulas.joined(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of the weights are sums over the batch of [in, D] x [D, out], the wider side last."""
        x, w_gate_up, w_down, *kept = ctx.saved_tensors
        w_in, w_out = w_gate_up.T.contiguous(), w_down.T.contiguous()
        parts, grad_in, grad_down = [], None, None
        for rows, gate_up in zip(rows_of_left_products(x, w_gate_up), kept, strict=True):
            grad_hidden, grad_gate_up = left_product(w_out, grad[rows]), torch.empty_like(gate_up)
            (gate, up), (grad_gate, grad_up) = gate_up.chunk(2, -2), grad_gate_up.chunk(2, -2)
            hidden = elementwise.gated_backward(gate, up, grad_hidden, grad_gate, grad_up)
            parts.append(left_product(w_in, grad_gate_up))
            grad_in = add_outer(grad_in, x[rows], grad_gate_up)
            grad_down = add_outer(grad_down, grad[rows], hidden)
        assert grad_in is not None and grad_down is not None
        return formulas.joined(parts), grad_in.T.contiguous(), grad_down


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
