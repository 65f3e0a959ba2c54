"""SwiGLU over features and over positions, with gradients written out by hand.

Autograd would keep the activated gate and the hidden layer too; these keep the two halves that come out of the first
product and compute the rest again. First derivatives only: asking for a second one raises.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from trm_cli.models.kernels.cache import cached_rows, joined
from trm_cli.models.kernels.products import add_outer, add_product, left_product, product, rows_of_left_products


def swiglu(x: Tensor, w_gate_up: Tensor, w_down: Tensor) -> Tensor:
    """`(silu(gate) * up) @ w_down.T` of `gate, up = x @ w_gate_up.T`: [..., n], [2I, n], [n, I] -> [..., n]."""
    if not torch.is_grad_enabled():
        gate, up = (product(x.flatten(0, -2), weight) for weight in w_gate_up.chunk(2))
        return product(_gated(gate, up), w_down).view(x.shape)
    result: Tensor = SwiGLU.apply(x, w_gate_up, w_down)
    return result


def token_swiglu(x: Tensor, w_gate_up: Tensor, w_down: Tensor) -> Tensor:
    """SwiGLU that mixes along the sequence: [B, L, D], [2I, L], [L, I] -> [B, L, D]."""
    if not torch.is_grad_enabled():
        parts = []
        for rows in rows_of_left_products(x, w_gate_up):
            gate, up = left_product(w_gate_up, x[rows]).chunk(2, -2)
            parts.append(left_product(w_down, _gated(gate, up)))
        return joined(parts)
    result: Tensor = TokenSwiGLU.apply(x, w_gate_up, w_down)
    return result


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
        for rows in cached_rows(x):
            own = x[rows].flatten(0, -2)
            gate, up = product(own, w_gate), product(own, w_up)
            parts.append(product(_gated(gate, up), w_down))
            kept += [gate, up]
        ctx.save_for_backward(x, w_gate_up, w_down, *kept)
        return joined(parts).view(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The hidden layer is computed again instead of being kept."""
        x, w_gate_up, w_down, *kept = ctx.saved_tensors
        w_gate, w_up = w_gate_up.chunk(2)
        parts, in_gate, in_up, in_down = [], None, None, None
        for rows, gate, up in zip(cached_rows(x), kept[::2], kept[1::2], strict=True):
            own_x, own_grad = x[rows].flatten(0, -2), grad[rows].flatten(0, -2)
            grad_gate, grad_up = torch.empty_like(gate), torch.empty_like(up)
            hidden = _gated_backward(gate, up, product(own_grad, w_down.T), grad_gate, grad_up)
            parts.append(add_product(product(grad_gate, w_gate.T), grad_up, w_up.T))
            in_gate = add_product(in_gate, own_x.T, grad_gate.T)
            in_up = add_product(in_up, own_x.T, grad_up.T)
            in_down = add_product(in_down, own_grad.T, hidden.T)
        assert in_gate is not None and in_up is not None and in_down is not None
        return joined(parts).view(x.shape), torch.cat((in_gate.T, in_up.T)), in_down


class TokenSwiGLU(torch.autograd.Function):
    """SwiGLU over the sequence axis, `w_down @ (silu(gate) * up)` with `gate, up = w_gate_up @ x`: no transposes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w_gate_up: Tensor, w_down: Tensor) -> Tensor:
        """X [B, L, D], w_gate_up [2I, L], w_down [L, I]; result [B, L, D]."""
        parts, kept = [], []
        for rows in rows_of_left_products(x, w_gate_up):
            kept.append(left_product(w_gate_up, x[rows]))
            parts.append(left_product(w_down, _gated(*kept[-1].chunk(2, -2))))
        ctx.save_for_backward(x, w_gate_up, w_down, *kept)
        return joined(parts)

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
            hidden = _gated_backward(gate, up, grad_hidden, grad_gate, grad_up)
            parts.append(left_product(w_in, grad_gate_up))
            grad_in = add_outer(grad_in, x[rows], grad_gate_up)
            grad_down = add_outer(grad_down, grad[rows], hidden)
        assert grad_in is not None and grad_down is not None
        return joined(parts), grad_in.T.contiguous(), grad_down


def _gated(gate: Tensor, up: Tensor) -> Tensor:
    """`silu(gate) * up`, which needs no gradient."""
    return F.silu(gate).mul_(up)


def _gated_backward(gate: Tensor, up: Tensor, grad_hidden: Tensor, grad_gate: Tensor, grad_up: Tensor) -> Tensor:
    """The hidden layer `_gated(gate, up)`; fills in the gradients of gate and up, and overwrites grad_hidden."""
    activated = F.silu(gate)
    torch.mul(grad_hidden, activated, out=grad_up)
    torch.ops.aten.silu_backward.grad_input(grad_hidden.mul_(up), gate, grad_input=grad_gate)
    return activated.mul_(up)
