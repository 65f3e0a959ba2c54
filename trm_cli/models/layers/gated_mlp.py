"""Gated MLPs, over the features of each token or the tokens of each feature: SwiGLU, and one with a norm inside."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trm_cli.models.kernels import gated_mlp as kernel
from trm_cli.models.kernels.choice import computed_by
from trm_cli.models.kernels.products import linear
from trm_cli.models.layers.norm import rms_norm


@computed_by(kernel.swiglu)
def swiglu(x: Tensor, w_gate_up: Tensor, w_down: Tensor) -> Tensor:
    """`(silu(gate) * up) @ w_down.T` of `gate, up = x @ w_gate_up.T`: [..., n], [2I, n], [n, I] -> [..., n]."""
    gate, up = linear(x, w_gate_up).chunk(2, -1)
    return linear(F.silu(gate) * up, w_down)


@computed_by(kernel.token_swiglu)
def token_swiglu(x: Tensor, w_gate_up: Tensor, w_down: Tensor) -> Tensor:
    """`w_down @ (silu(gate) * up)` of `gate, up = w_gate_up @ x`, along the tokens: [B, L, D], [2I, L], [L, I]."""
    gate, up = _left_product(w_gate_up, x).chunk(2, -2)
    return _left_product(w_down, F.silu(gate) * up)


def normed_glu(x: Tensor, w_gate_up: Tensor, w_down: Tensor, dim: int = -1) -> Tensor:
    """`w_down (sigmoid(gate) * rms_norm(gate * up))` of `gate, up = w_gate_up x` along `dim`, features (-1) or tokens
    (-2): bounded whatever the weights are, which optimizers with large steps need.
    """
    product = linear if dim == -1 else _right_product
    gate, up = product(x, w_gate_up).chunk(2, dim)
    return product(torch.sigmoid(gate) * rms_norm(gate * up, dim), w_down)


def swiglu_width(features: int, expansion: float) -> int:
    """Hidden width I of SwiGLU: round(expansion * features * 2/3), up to the next multiple of 256."""
    return -(-round(expansion * features * 2 / 3) // 256) * 256


def _right_product(x: Tensor, weight: Tensor) -> Tensor:
    return _left_product(weight, x)


def _left_product(weight: Tensor, x: Tensor) -> Tensor:
    """`weight @ x[b]` for each b: [m, L], [B, L, D] -> [B, m, D]. `torch.matmul` would transpose x twice."""
    return torch.bmm(weight.expand(x.shape[0], *weight.shape), x)
