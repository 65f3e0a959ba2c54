"""Building blocks: norm, gated MLP, attention, rotary positions, initial values, casts.

Everything that computes is a pure function of activations and weights. Modules own float32 master weights, cast them
once per forward pass and hand the copies to these functions, so that all recursive calls of a pass share them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trm_cli.models.kernels import elementwise, fused, products
from trm_cli.models.kernels.products import left_product, linear
from trm_cli.models.layers import formulas
from trm_cli.models.layers.formulas import RMS_NORM_EPSILON, rms_norm

__all__ = [
    "RMS_NORM_EPSILON",
    "Rope",
    "add_rms_norm",
    "attention",
    "embedding_parameter",
    "forward_dtype_named",
    "linear_parameter",
    "rms_norm",
    "rope_tables",
    "scaled_dot_product",
    "swiglu",
    "swiglu_width",
    "token_swiglu",
    "truncated_normal_",
]

# float64 is for checking the others, not for training.
FORWARD_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}


class Rope(NamedTuple):
    """Cosine and sine of the rotation angles, [L, head_dim / 2] each, float32 unless asked otherwise."""

    cos: Tensor
    sin: Tensor


def forward_dtype_named(name: str) -> torch.dtype:
    """The activation type called `name`; ValueError names the possible ones."""
    if name not in FORWARD_DTYPES:
        raise ValueError(f"forward_dtype must be one of {', '.join(FORWARD_DTYPES)}, not {name!r}.")
    return FORWARD_DTYPES[name]


# --- Initial values ---


@torch.no_grad()
def truncated_normal_(tensor: Tensor, std: float) -> Tensor:
    """Fill with a normal law cut at two sigma whose realised standard deviation is `std`, as JAX does.

    u ~ U(erf(-2/sqrt2), erf(2/sqrt2)), x = sqrt2 * erfinv(u) * std / 0.8796, where 0.8796 is the deviation of the
    standard normal law cut at +-2. (`torch.nn.init.trunc_normal_` leaves that division out.) std 0 fills with zeros
    and draws nothing.
    """
    if std == 0:
        return tensor.zero_()
    bound = 2.0
    edge = math.erf(bound / math.sqrt(2.0))
    density = math.exp(-0.5 * bound * bound) / math.sqrt(2.0 * math.pi)
    sigma = std / math.sqrt(1.0 - 2.0 * bound * density / edge)
    tensor.uniform_(-edge, edge).erfinv_().mul_(math.sqrt(2.0) * sigma)
    return tensor.clamp_(-bound * sigma, bound * sigma)


def linear_parameter(out_features: int, in_features: int) -> nn.Parameter:
    """A float32 weight [out, in] with standard deviation 1/sqrt(in)."""
    return nn.Parameter(truncated_normal_(torch.empty(out_features, in_features), in_features**-0.5))


def embedding_parameter(rows: int, width: int) -> nn.Parameter:
    """A float32 table [rows, width] with standard deviation 1/sqrt(width)."""
    return nn.Parameter(truncated_normal_(torch.empty(rows, width), width**-0.5))


def swiglu_width(features: int, expansion: float) -> int:
    """Hidden width of SwiGLU: round(expansion * features * 2/3), up to the next multiple of 256."""
    return -(-round(expansion * features * 2 / 3) // 256) * 256


# --- Functions of activations and weights ---


def add_rms_norm(a: Tensor, b: Tensor, dim: int = -1) -> Tensor:
    """`rms_norm(a + b)` along `dim`; a, b and the result have one shape."""
    if torch.compiler.is_compiling():
        return rms_norm(a + b, dim)
    if not torch.is_grad_enabled():
        return elementwise.add_rms_norm(a, b, dim)[0]
    result: Tensor = fused.AddRMSNorm.apply(a, b, dim)
    return result


def swiglu(x: Tensor, w_gate_up: Tensor, w_down: Tensor) -> Tensor:
    """`(silu(gate) * up) @ w_down.T` of `gate, up = x @ w_gate_up.T`: [..., n], [2I, n], [n, I] -> [..., n]."""
    if torch.compiler.is_compiling():
        return linear(formulas.gated(linear(x, w_gate_up), -1), w_down)
    if not torch.is_grad_enabled():
        gate, up = (products.product(x.flatten(0, -2), weight) for weight in w_gate_up.chunk(2))
        return products.product(elementwise.gated(gate, up), w_down).view(x.shape)
    result: Tensor = fused.SwiGLU.apply(x, w_gate_up, w_down)
    return result


def token_swiglu(x: Tensor, w_gate_up: Tensor, w_down: Tensor) -> Tensor:
    """SwiGLU that mixes along the sequence: [B, L, D], [2I, L], [L, I] -> [B, L, D]."""
    if torch.compiler.is_compiling():
        return left_product(w_down, formulas.gated(left_product(w_gate_up, x), -2))
    if not torch.is_grad_enabled():
        parts = []
        for rows in products.rows_of_left_products(x, w_gate_up):
            gate, up = left_product(w_gate_up, x[rows]).chunk(2, -2)
            parts.append(left_product(w_down, elementwise.gated(gate, up)))
        return formulas.joined(parts)
    result: Tensor = fused.TokenSwiGLU.apply(x, w_gate_up, w_down)
    return result


def rope_tables(length: int, head_dim: int, theta: float, dtype: torch.dtype = torch.float32) -> Rope:
    """Angles position * theta^(-2i/head_dim), positions 0 .. length-1, i < head_dim / 2; rounded once, to `dtype`."""
    if head_dim % 2:
        raise ValueError(f"Rotary positions need an even head width, not {head_dim}.")
    frequencies = theta ** -(torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)
    angles = torch.outer(torch.arange(length, dtype=torch.float64), frequencies)
    return Rope(angles.cos().to(dtype), angles.sin().to(dtype))


def _heads(qkv: Tensor, num_heads: int, rope: Rope | None) -> tuple[Tensor, ...]:
    """Queries and keys turned by the angles of their positions, and values: [B, H, L, head_dim] of [B, L, 3 H hd]."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        q, k, v = formulas.split_heads(qkv, num_heads)
        return (q, k, v) if rope is None else (formulas.rotate(q, *rope), formulas.rotate(k, *rope), v)
    parts: tuple[Tensor, ...] = fused.SplitHeads.apply(qkv, *(rope or (None, None)), num_heads)
    return parts


def scaled_dot_product(q: Tensor, k: Tensor, v: Tensor, causal: bool = False) -> Tensor:
    """Attention of [B, H, L, head_dim] by whichever kernel is the fastest here; causal: no position looks ahead."""
    if formulas.softmax_is_faster(q, k.shape[-2]):
        return formulas.softmax_attention(q, k, v, causal)
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal)


def attention(
    h: Tensor, w_qkv: Tensor, w_out: Tensor, num_heads: int, rope: Rope | None, causal: bool = False
) -> Tensor:
    """Multi-head self-attention without biases: [B, L, D], [3 H hd, D], [D, H hd] -> [B, L, D]."""
    batch, length, _ = h.shape
    q, k, v = _heads(linear(h, w_qkv), num_heads, rope)
    mixed = scaled_dot_product(q, k, v, causal)
    return linear(mixed.transpose(1, 2).reshape(batch, length, -1), w_out)
