"""Linear maps, attention and the two transformer blocks. No biases, norms without a learned gain, as in TRM."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trm_cli.models.hesc.rows.boards import Packed
from trm_cli.models.hesc.rows.positions import Rotation, content_numbers, head_width
from trm_cli.models.layers.gated_mlp import swiglu, swiglu_width
from trm_cli.models.layers.initialization import linear_parameter, truncated_normal_
from trm_cli.models.layers.norm import add_rms_norm
from trm_cli.models.layers.rotary import rotate

#: Deviation of the weights with which a byte first mixes the bytes before it.
_BYTES_BEFORE = 0.2
#: Numbers of a head that say what the cell of a demonstration is like.
_LIKENESS = 12
#: Bytes before a byte, itself included, that a block mixes without attention.
_TAPS = 4


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
    """The gated MLP of TRM."""

    def __init__(self, width: int, expansion: float) -> None:
        super().__init__()
        hidden = swiglu_width(width, expansion)
        self.gate_up = linear_parameter(2 * hidden, width)
        self.down = linear_parameter(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """[..., D] -> [..., D]."""
        return swiglu(x, self.gate_up, self.down)


class Attention(nn.Module):
    """Multi-head attention of queries over a context, which may be the queries themselves."""

    def __init__(
        self, width: int, num_heads: int, context_width: int | None = None, *, head_dim: int | None = None
    ) -> None:
        """head_dim: width of a head where the heads do not share `width`."""
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = width // num_heads if head_dim is None else head_dim
        inner = self.head_dim * num_heads
        self.query = linear_parameter(inner, width)
        self.key_value = linear_parameter(2 * inner, context_width or width)
        self.out = linear_parameter(width, inner)

    def queries(self, x: Tensor) -> Tensor:
        """[B, L, D] -> [B, H, L, head_dim]."""
        return functional.linear(x, self.query).view(*x.shape[:2], self.num_heads, self.head_dim).transpose(1, 2)

    def keys_values(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """[B, S, C] -> keys and values [B, H, S, head_dim]."""
        pair = functional.linear(context, self.key_value).view(*context.shape[:2], 2, self.num_heads, self.head_dim)
        k, v = pair.permute(2, 0, 3, 1, 4)
        return k, v

    def merge(self, mixed: Tensor) -> Tensor:
        """[B, H, L, head_dim] -> [B, L, D]."""
        return functional.linear(mixed.transpose(1, 2).flatten(2), self.out)

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """X [B, L, D], context [B, S, C], mask bool (True: may look) broadcast to [B, H, L, S] -> [B, L, D]."""
        k, v = self.keys_values(context)
        return self.merge(functional.scaled_dot_product_attention(self.queries(x), k, v, attn_mask=mask))


class TokenBlock(nn.Module):
    """TRM's post-norm block for tokens: neighbours and attention, then SwiGLU, each added and normed.

    A head has pairs of numbers that turn with the place and a few that do not: by these, tokens that say the same find
    each other wherever they are, and slots of the workspace, which have no place, are found; all in one softmax. lean:
    a constant on queries and keys before they are turned, so that attention looks at places from the first update; at
    0 it starts flat, and rules such as "the mirrored place" are found a thousand updates later.
    """

    content: Tensor

    def __init__(
        self, width: int, num_heads: int, expansion: float, *, causal: bool, lean: float, compares: bool = False
    ) -> None:
        """compares: with the cells of demonstrations."""
        super().__init__()
        self.attention = Attention(width, num_heads, head_dim=head_width(width, num_heads))
        self.likeness = linear_parameter(num_heads * _LIKENESS, width) if compares else None
        content = content_numbers(width, num_heads)
        self.register_buffer("content", content.float(), persistent=False)
        start = torch.where(content, 0.0, lean).repeat(num_heads, 1, 1)
        self.query_lean, self.key_lean = nn.Parameter(start.clone()), nn.Parameter(start.clone())
        self.causal, self.taps = causal, _TAPS
        taps = (width, 1, _TAPS) if causal else (width, 1, 3, 3)
        # A board's start at nothing: at a tenth they drown the mirrored place. A text's cannot be too early.
        self.neighbours = nn.Parameter(truncated_normal_(torch.empty(taps), _BYTES_BEFORE if causal else 0.0))
        self.mlp = SwiGLU(width, expansion)

    def _mix_neighbours(self, h: Tensor, inside: Tensor | None, some: Packed | None) -> Tensor:
        """[B, L, D] -> [B, L, D]: a board's eight neighbours that are inside (bool [B, L]), or the bytes before."""
        channels = h.shape[-1]
        if self.causal:
            padded = functional.pad(h.transpose(1, 2), (_TAPS - 1, 0))
            return functional.conv1d(padded, self.neighbours, groups=channels).transpose(1, 2)
        board = h if inside is None else h * inside[..., None]
        if some is not None:
            board = some.put(board)
        side = round(board.shape[1] ** 0.5)
        image = board.transpose(1, 2).unflatten(2, (side, side))
        near = functional.conv2d(image, self.neighbours, padding=1, groups=channels).flatten(2).transpose(1, 2)
        return near if some is None else some.take(near)

    def keys_values(self, h: Tensor, rotation: Rotation, slots: Tensor) -> tuple[Tensor, Tensor]:
        """H [B, L, D], slots [B, S, D] -> keys and values [B, H, L + S, head width]."""
        k, v = self.attention.keys_values(h)
        k = rotate(k + self.key_lean, *rotation.key)
        if slots.shape[1]:
            slot_k, slot_v = self.attention.keys_values(slots)
            k, v = torch.cat((k, slot_k * self.content.to(k.dtype)), 2), torch.cat((v, slot_v), 2)
        return k, v

    def forward(
        self,
        h: Tensor,
        rotation: Rotation,
        slots: Tensor,
        mask: Tensor | None,
        inside: Tensor | None,
        some: Packed | None = None,
        told: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """H [B, L, D], slots [B, S, D], mask bool broadcast to [B, H, L, L + S], inside bool [B, L] -> [B, L, D].

        mask None: all of them, of a causal block those that are not later. told: by demonstrations, see `tell`.
        """
        q = rotate(self.attention.queries(h) + self.query_lean, *rotation.query)
        k, v = self.keys_values(h, rotation, slots)
        causal = self.causal and mask is None
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        if told is not None:
            mixed = mixed + self._compare(h, *told)
        return self._added(h, mixed, self._mix_neighbours(h, inside, some))

    def tell(self, h: Tensor) -> Tensor:
        """What demonstrations [B, N, D] tell this block of other rows, their likeness and their values: [B, N, C]."""
        assert self.likeness is not None
        values = self.attention.key_value.chunk(2)[1]
        return functional.linear(h, torch.cat((self.likeness, values)))

    def _compare(self, h: Tensor, told: Tensor, seen: Tensor) -> Tensor:
        """H [B, L, D], told [B, M, C] by demonstrations, seen bool [B, 1, 1, M] -> [B, H, L, head width].

        One map for queries and keys: it is a comparison from the first update, what is alike is heard.
        """
        assert self.likeness is not None
        heads, width = self.attention.num_heads, self.attention.head_dim
        like, said = told.split((heads * _LIKENESS, heads * width), -1)
        q, k, v = (
            x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (functional.linear(h, self.likeness), like, said)
        )
        # As wide as the values, for kernels that know one width alone, by whose root the scores are divided.
        q, k = (functional.pad(x, (0, width - _LIKENESS)) for x in (q * (width / _LIKENESS) ** 0.5, k))
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=seen)

    def next_place(self, h: Tensor, rotation: Rotation, keys: Tensor, values: Tensor, before: Tensor) -> Tensor:
        """One more place of a text: h [B, 1, D], keys and values [B, H, L, head width] of all that it may look at, its
        own included, before [B, taps - 1, D] -> [B, 1, D]."""
        q = rotate(self.attention.queries(h) + self.query_lean, *rotation.query)
        mixed = functional.scaled_dot_product_attention(q, keys, values)
        near = (torch.cat((before, h), 1) * self.neighbours[:, 0].T).sum(1, keepdim=True)
        return self._added(h, mixed, near)

    def _added(self, h: Tensor, mixed: Tensor, near: Tensor) -> Tensor:
        h = add_rms_norm(h, self.attention.merge(mixed) + near)
        return add_rms_norm(h, self.mlp(h))


class SlotBlock(nn.Module):
    """TRM's post-norm block for slots, which also look at a context that stays as it is."""

    def __init__(self, width: int, num_heads: int, expansion: float) -> None:
        super().__init__()
        self.attention = Attention(width, num_heads)
        self.mlp = SwiGLU(width, expansion)

    def forward(self, h: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        """H [B, S, D], context [B, C, D], mask bool broadcast to [B, 1, S, S + C] -> [B, S, D]."""
        seen = torch.cat((h, context), 1)
        h = add_rms_norm(h, self.attention(h, seen, mask))
        return add_rms_norm(h, self.mlp(h))
