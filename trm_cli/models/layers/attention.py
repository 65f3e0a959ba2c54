"""Multi-head self-attention without biases."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from trm_cli.models.kernels import attention as kernel
from trm_cli.models.kernels.choice import always, computed_by, recording
from trm_cli.models.kernels.products import linear
from trm_cli.models.layers.rotary import Rope, rotate


def attention(
    h: Tensor,
    w_qkv: Tensor,
    w_out: Tensor,
    num_heads: int,
    rope: Rope | None,
    causal: bool = False,
    bias: Tensor | None = None,
) -> Tensor:
    """[B, L, D], [3 H hd, D], [D, H hd] -> [B, L, D]; causal: no position looks ahead; bias [H, L, L] of the scores."""
    batch, length, _ = h.shape
    q, k, v = split_heads(linear(h, w_qkv), num_heads, rope)
    mixed = scaled_dot_product(q, k, v, causal, bias)
    return linear(mixed.transpose(1, 2).reshape(batch, length, -1), w_out)


@computed_by(kernel.split_heads, when=recording)
def split_heads(qkv: Tensor, num_heads: int, rope: tuple[Tensor, Tensor] | None) -> tuple[Tensor, ...]:
    """Queries, keys and values [B, H, L, hd] of [B, L, 3 H hd], the first two rotated by `rope` (cosines, sines)."""
    q, k, v = qkv.view(*qkv.shape[:-1], 3, num_heads, -1).permute(2, 0, 3, 1, 4)
    return (q, k, v) if rope is None else (rotate(q, *rope), rotate(k, *rope), v)


@computed_by(kernel.scaled_dot_product, when=always)
def scaled_dot_product(q: Tensor, k: Tensor, v: Tensor, causal: bool = False, bias: Tensor | None = None) -> Tensor:
    """`softmax(q k^T / sqrt(head_dim) + bias) v`, q, k, v [B, H, L, head_dim], bias [H, L, L]; causal: no position
    looks ahead, and there is no bias.
    """
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=causal)
