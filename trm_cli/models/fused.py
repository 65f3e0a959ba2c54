"""Residual norm, gated MLP and rotation with gradients written out by hand.

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
    """`y = s / rms(s)`, `s = a + b`, over `dim`; keeps y and 1/rms(s).

    Gradient: with r = 1/rms, ds = r * (dy - y * mean(dy * y)), the same for a and b.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, dim: int) -> Tensor:
        """Shapes of a, b and the result are equal."""
        total = a + b
        inverse = formulas.inverse_rms(total, dim)
        result = formulas.scale_as_float32(total, inverse)
        ctx.save_for_backward(result, inverse)
        ctx.dim = dim
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """One tensor serves both summands."""
        result, inverse = ctx.saved_tensors
        wide_grad, wide_result = formulas.widen(grad), formulas.widen(result)
        projection = (wide_grad * wide_result).mean(ctx.dim, keepdim=True)
        grad_sum = torch.addcmul(wide_grad, wide_result, projection, value=-1.0).mul_(inverse).to(grad.dtype)
        return grad_sum, grad_sum, None


class SwiGLU(torch.autograd.Function):
    """`silu(gate) * up @ w_down.T` with `gate, up = x @ w_gate_up.T`; keeps x and the product with w_gate_up."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w_gate_up: Tensor, w_down: Tensor) -> Tensor:
        """X [..., n], w_gate_up [2I, n], w_down [n, I]; result [..., n]."""
        gate_up = F.linear(x, w_gate_up)
        ctx.save_for_backward(x, gate_up, w_gate_up, w_down)
        return F.linear(formulas.gated_without_graph(gate_up, dim=-1), w_down)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The hidden layer [..., I] is computed again instead of being kept; a few rows at a time stay in the cache."""
        x, gate_up, w_gate_up, w_down = ctx.saved_tensors
        grad = grad.contiguous()
        hidden = grad.new_empty(*grad.shape[:-1], w_down.shape[1])
        grad_gate_up, grad_x = torch.empty_like(gate_up), torch.empty_like(grad)
        for rows in formulas.cached_rows(grad):
            _gate_backward(gate_up[rows], grad[rows] @ w_down, hidden[rows], grad_gate_up[rows], dim=-1)
            torch.matmul(grad_gate_up[rows], w_gate_up, out=grad_x[rows])
        grad_down = grad.flatten(0, -2).T @ hidden.flatten(0, -2)
        grad_in = grad_gate_up.flatten(0, -2).T @ x.flatten(0, -2)
        return grad_x, grad_in, grad_down


class TokenSwiGLU(torch.autograd.Function):
    """SwiGLU over the sequence axis, `w_down @ (silu(gate) * up)` with `gate, up = w_gate_up @ x`: no transposes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w_gate_up: Tensor, w_down: Tensor) -> Tensor:
        """X [B, L, D], w_gate_up [2I, L], w_down [L, I]; result [B, L, D]."""
        gate_up = formulas.left_multiply(w_gate_up, x)
        ctx.save_for_backward(x, gate_up, w_gate_up, w_down)
        return formulas.left_multiply(w_down, formulas.gated_without_graph(gate_up, dim=-2))

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


class Rotate(torch.autograd.Function):
    """Rotary position: the gradient is the rotation by the opposite angle."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """X [..., L, head_dim], cos and sin [L, head_dim / 2]."""
        ctx.save_for_backward(cos, sin)
        return formulas.rotate(x, cos, sin)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Angles have no gradient."""
        cos, sin = ctx.saved_tensors
        return formulas.rotate(grad, cos, -sin), None, None


def _gate_backward(gate_up: Tensor, grad_hidden: Tensor, hidden: Tensor, grad_gate_up: Tensor, dim: int) -> None:
    """Fill in `hidden = silu(gate) * up` and the gradient of gate_up; gate and up lie side by side along `dim`."""
    gate, up = gate_up.chunk(2, dim)
    activated = F.silu(gate)
    grad_gate, grad_up = grad_gate_up.chunk(2, dim)
    torch.mul(grad_hidden, activated, out=grad_up)
    torch.mul(activated, up, out=hidden)
    grad_gate.copy_(torch.ops.aten.silu_backward(grad_hidden.mul_(up), gate))


def _outer_sum(left: Tensor, right: Tensor) -> Tensor:
    """`sum_b left[b] @ right[b].T` for [B, m, D] and [B, n, D]: [m, n]."""
    if formulas.on_processor(left):
        # addbmm accumulates in place, one product after the other; on other devices that would be B launches.
        return torch.addbmm(left.new_zeros(left.shape[1], right.shape[1]), left, right.mT, beta=0)
    return torch.bmm(left, right.mT).sum(0)
