"""Split heads without keeping the projection, and write attention out where that beats the fused kernel."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from trm_cli.models.kernels.cache import cached_rows, on_processor
from trm_cli.models.numerics import widen

# Up to this length the plain product-softmax-product form beats PyTorch's fused CPU kernel in bfloat16.
_PLAIN_ATTENTION_LENGTH = 256


def split_heads(qkv: Tensor, num_heads: int, rope: tuple[Tensor, Tensor] | None) -> tuple[Tensor, ...]:
    """Queries, keys and values [B, H, L, hd] of [B, L, 3 H hd], the first two rotated by `rope` (cosines, sines)."""
    parts: tuple[Tensor, ...] = SplitHeads.apply(qkv, *(rope or (None, None)), num_heads)
    return parts


def scaled_dot_product(q: Tensor, k: Tensor, v: Tensor, causal: bool = False, bias: Tensor | None = None) -> Tensor:
    """Attention of [B, H, L, head_dim] by whichever kernel is the fastest here; causal: no position looks ahead."""
    if _softmax_is_faster(q, k.shape[-2]) or (bias is not None and on_processor(q)):
        return softmax_attention(q, k, v, causal, bias)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=causal)


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, causal: bool = False, bias: Tensor | None = None) -> Tensor:
    """`softmax(q k^T / sqrt(head_dim) + bias) v` written out; q, k, v [B, H, L, head_dim], bias [H, L, L]. causal: no
    position looks ahead.
    """
    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.mT)
    if bias is not None:
        scores = scores + bias
    if causal:
        ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(ahead, -torch.inf)
    return torch.matmul(scores.softmax(-1), v)


def _softmax_is_faster(x: Tensor, length: int) -> bool:
    """Whether attention over `length` positions is better written out than left to the fused kernel."""
    return x.dtype == torch.bfloat16 and length <= _PLAIN_ATTENTION_LENGTH and on_processor(x)


class SplitHeads(torch.autograd.Function):
    """Queries, keys and values of one product, queries and keys rotated by the angles of their positions.

    Each has memory of its own, so that the product need not be kept for its values, and lies there as the attention
    reads it: head by head for products, position by position for the fused kernel, whose result then needs no copy.
    The gradient of a rotation is the rotation by the opposite angle.
    """

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, cos: Tensor | None, sin: Tensor | None, num_heads: int) -> tuple[Tensor, ...]:
        """Qkv [B, L, 3 H hd], cos and sin [L, hd / 2] or None; three times [B, H, L, hd]."""
        ctx.save_for_backward(cos, sin)
        source = _views(qkv, num_heads)
        rows, _, length, width = source[0].shape
        if _softmax_is_faster(qkv, length):
            parts = tuple(qkv.new_empty(rows, num_heads, length, width) for _ in source)
        else:
            parts = tuple(qkv.new_empty(rows, length, num_heads, width).transpose(1, 2) for _ in source)
        _copy(parts, source, None if cos is None or sin is None else (cos, sin))
        return parts

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        """Angles have no gradient."""
        cos, sin = ctx.saved_tensors
        rows, num_heads, length, width = grads[0].shape
        grad = grads[0].new_empty(rows, length, 3 * num_heads * width)
        _copy(_views(grad, num_heads), grads, None if cos is None else (cos, -sin))
        return grad, None, None, None


def _views(qkv: Tensor, num_heads: int) -> tuple[Tensor, ...]:
    """The three parts [B, H, L, hd] of [B, L, 3 H hd], as views."""
    return qkv.view(*qkv.shape[:-1], 3, num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


def _copy(target: tuple[Tensor, ...], source: tuple[Tensor, ...], angles: tuple[Tensor, Tensor] | None) -> None:
    """Copy queries, keys and values, [B, H, L, hd] each, the first two rotated by the angles, in at least float32."""
    for rows in cached_rows(target[0]):
        for place, (part, own) in enumerate(zip(target, source, strict=True)):
            if angles is None or place == 2:
                part[rows] = own[rows]
                continue
            cos, sin = angles
            first, second = widen(own[rows]).chunk(2, -1)
            part[rows] = torch.cat((first * cos - second * sin, second * cos + first * sin), -1)
