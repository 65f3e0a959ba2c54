"""Attention and transformer blocks shared by the components. No biases, norms without a learned gain, as in TRM."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from trm_cli.models.layers.gated_mlp import swiglu, swiglu_width
from trm_cli.models.layers.initialization import linear_parameter, truncated_normal_
from trm_cli.models.layers.norm import add_rms_norm, rms_norm
from trm_cli.models.layers.rotary import Rope, rotate

RESIDUAL_SCALE = 0.1
"""Initial size of what a block adds to its stream, over TRM's. A canvas passes a dozen additions on its way to the
answer; at full size they bury it, and no gradient finds it: grids of 3x3 to 6x6 cells are then not even copied after
1,000 updates. At a tenth they are after 300 (docs/experiments.md)."""


class Linear(nn.Module):
    """`x @ weight.T (+ bias)`: [..., in] -> [..., out]; `std` overrides 1/sqrt(in), 0 starts from nothing."""

    def __init__(
        self, in_features: int, out_features: int, *, bias: float | None = None, std: float | None = None
    ) -> None:
        super().__init__()
        self.weight = linear_parameter(out_features, in_features)
        if std is not None:
            truncated_normal_(self.weight.data, std)
        self.bias = nn.Parameter(self.weight.new_full((out_features,), bias)) if bias is not None else None

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        bias = None if self.bias is None else self.bias.to(self.weight.dtype)
        return functional.linear(x.to(self.weight.dtype), self.weight, bias)


class SwiGLU(nn.Module):
    """The gated MLP of TRM, always as a branch whose result is added: its last map starts small."""

    def __init__(self, hidden_size: int, expansion: float) -> None:
        super().__init__()
        width = swiglu_width(hidden_size, expansion)
        self.gate_up = linear_parameter(2 * width, hidden_size)
        self.down = linear_parameter(hidden_size, width)
        self.down.data.mul_(RESIDUAL_SCALE)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        return swiglu(x, self.gate_up, self.down)


class Attention(nn.Module):
    """Multi-head attention of queries over a context, which may be the queries themselves.

    gated: what is read is multiplied, number by number, by 2 sigmoid(gate x) of the asking position, so that a position
    can pick its part of a slot that holds several.
    """

    def __init__(self, hidden_size: int, num_heads: int, *, gated: bool = False) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = hidden_size // num_heads
        self.query = linear_parameter(hidden_size, hidden_size)
        self.key_value = linear_parameter(2 * hidden_size, hidden_size)
        self.out = linear_parameter(hidden_size, hidden_size)
        self.gate = linear_parameter(hidden_size, hidden_size) if gated else None

    def queries(self, x: Tensor, rope: Rope | None = None) -> Tensor:
        """[B, L, D] -> [B, H, L, head_dim]."""
        q = functional.linear(x, self.query).view(*x.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)
        return q if rope is None else rotate(q, *rope)

    def keys_values(self, context: Tensor, rope: Rope | None = None) -> tuple[Tensor, Tensor]:
        """[B, S, D] -> keys and values [B, H, S, head_dim]."""
        pair = functional.linear(context, self.key_value).view(*context.shape[:2], 2, self.num_heads, self.head_dim)
        k, v = pair.permute(2, 0, 3, 1, 4)
        return k if rope is None else rotate(k, *rope), v

    def merge(self, mixed: Tensor) -> Tensor:
        """[B, H, L, head_dim] -> [B, L, D]."""
        return functional.linear(mixed.transpose(1, 2).flatten(2), self.out)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None, rope: Rope | None = None) -> Tensor:
        """X [B, L, D], context [B, S, D] -> [B, L, D].

        mask: bool (True: may look) or float (added to the scores), broadcast to [B, H, L, S]. rope: cosines and sines
        [B or 1, L, 1, head_dim / 2], for self-attention only.
        """
        k, v = self.keys_values(context, rope)
        mixed = functional.scaled_dot_product_attention(self.queries(x, rope), k, v, attn_mask=mask)
        if self.gate is None:
            return self.merge(mixed)
        gate = 2.0 * functional.linear(x, self.gate).sigmoid()
        return functional.linear(mixed.transpose(1, 2).flatten(2) * gate, self.out)


class RecursiveBlock(nn.Module):
    """TRM's post-norm block: attention, then SwiGLU, each added and normed."""

    def __init__(self, hidden_size: int, num_heads: int, expansion: float) -> None:
        super().__init__()
        self.attention = Attention(hidden_size, num_heads)
        self.attention.out.data.mul_(RESIDUAL_SCALE)
        self.mlp = SwiGLU(hidden_size, expansion)

    def forward(self, h: Tensor, mask: Tensor | None = None) -> Tensor:
        """H [B, L, D], mask bool broadcast to [B, 1, L, L] -> [B, L, D]."""
        h = add_rms_norm(h, self.attention(h, h, mask))
        return add_rms_norm(h, self.mlp(h))


class RecursiveStack(nn.Module):
    """`h <- h + injection`, then the blocks: the one function that TRM applies again and again."""

    def __init__(self, layers: int, hidden_size: int, num_heads: int, expansion: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(RecursiveBlock(hidden_size, num_heads, expansion) for _ in range(layers))

    def forward(self, h: Tensor, injection: Tensor, mask: Tensor | None = None) -> Tensor:
        """H and injection [B, L, D] -> [B, L, D]."""
        h = h + injection
        for block in self.blocks:
            h = block(h, mask)
        return h


class ReadingBlock(nn.Module):
    """Pre-norm block of the decoder: attention to the working set (if asked for), self-attention, SwiGLU.

    It reads first: cells that know only their places would have nothing to tell each other.
    """

    def __init__(self, hidden_size: int, num_heads: int, expansion: float, *, reads: bool) -> None:
        super().__init__()
        self.attention = Attention(hidden_size, num_heads)
        self.reading = Attention(hidden_size, num_heads, gated=True) if reads else None
        self.mlp = SwiGLU(hidden_size, expansion)

    def forward(
        self,
        h: Tensor,
        mask: Tensor | None,
        rope: Rope | None,
        slots: Tensor | None = None,
        visible: Tensor | None = None,
    ) -> Tensor:
        """H [B, T, D], mask [B, 1, T, T], slots [B, S, D] under the mask `visible`, [B, H, T, S] -> [B, T, D]."""
        if self.reading is not None and slots is not None:
            h = h + self.reading(rms_norm(h), slots, visible)
        normed = rms_norm(h)
        h = h + self.attention(normed, normed, mask, rope)
        result: Tensor = h + self.mlp(rms_norm(h))
        return result
