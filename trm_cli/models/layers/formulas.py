"""The elementary formulas, as plain differentiable tensor expressions.

`layers` offers them to the networks; `fused` wraps some of them with hand-written gradients.
"""

from __future__ import annotations

from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor

RMS_NORM_EPSILON = 1e-5

# Up to this length the plain product-softmax-product form beats PyTorch's fused CPU kernel in bfloat16.
_PLAIN_ATTENTION_LENGTH = 256

# Of the states [rows, L, D] of one chunk: 16 rows of 97 positions and a width of 512.
_CACHED_NUMBERS = 800_000


#: Whether tensors without contents (of the meta device) are computed as the processor would compute them.
counting_for_processor: ContextVar[bool] = ContextVar("counting_for_processor", default=False)


def on_processor(x: Tensor) -> bool:
    """Whether x is to be computed as suits the processor and its caches."""
    return x.device.type == "cpu" or (x.device.type == "meta" and counting_for_processor.get())


def widen(x: Tensor) -> Tensor:
    """At least float32: half precision is widened, float32 and float64 stay as they are."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def cached_rows(x: Tensor) -> list[slice]:
    """Parts of the first axis of x [B, ...] that fit into a CPU's cache with what is computed from them; else all."""
    rows = x.shape[0]
    if rows == 0 or not on_processor(x):
        return [slice(0, rows)]
    size = max(1, _CACHED_NUMBERS * rows // max(1, x.numel()))
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def inverse_rms(x: Tensor, dim: int) -> Tensor:
    """`1 / sqrt(mean(x^2) + eps)` along `dim` (kept, length 1), at least float32."""
    wide = widen(x)
    return torch.rsqrt((wide * wide).mean(dim, keepdim=True) + RMS_NORM_EPSILON)


def scale_as_float32(x: Tensor, factor: Tensor) -> Tensor:
    """`x * factor` computed in the wider of the two types and rounded once to that of x."""
    return (x * factor).to(x.dtype)


def rms_norm(x: Tensor, dim: int = -1) -> Tensor:
    """Root-mean-square norm along `dim` without a learned gain, computed in float32 and rounded back."""
    return scale_as_float32(x, inverse_rms(x, dim))


def gated(gate_up: Tensor, dim: int) -> Tensor:
    """`silu(gate) * up` of two halves that lie side by side along `dim`."""
    gate, up = gate_up.chunk(2, dim)
    return F.silu(gate) * up


def joined(parts: list[Tensor]) -> Tensor:
    """What was computed for each of `cached_rows`, one after the other; a copy only if there are several."""
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def split_heads(qkv: Tensor, num_heads: int) -> tuple[Tensor, ...]:
    """Queries, keys and values [B, H, L, hd] in the order of memory of their product [B, L, 3 H hd]: views of it."""
    return qkv.view(*qkv.shape[:-1], 3, num_heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the pairs (x[i], x[i + half]) by the angles whose cosine and sine are given, in at least float32."""
    first, second = widen(x).chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1).to(x.dtype)


def softmax_is_faster(x: Tensor, length: int) -> bool:
    """Whether attention over `length` positions is better written out than left to the fused kernel."""
    return x.dtype == torch.bfloat16 and length <= _PLAIN_ATTENTION_LENGTH and on_processor(x)


def softmax_attention(q: Tensor, k: Tensor, v: Tensor, causal: bool = False) -> Tensor:
    """`softmax(q k^T / sqrt(head_dim)) v` written out; all of [B, H, L, head_dim]. causal: no position looks ahead."""
    scores = torch.matmul(q * q.shape[-1] ** -0.5, k.mT)
    if causal:
        ahead = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(ahead, -torch.inf)
    return torch.matmul(scores.softmax(-1), v)
