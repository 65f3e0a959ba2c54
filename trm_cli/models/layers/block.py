"""The transformer block of the recursive networks, and the modules that own its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trm_cli.models.layers.attention import attention
from trm_cli.models.layers.board import Relations
from trm_cli.models.layers.gated_mlp import normed_glu, swiglu, swiglu_width, token_swiglu
from trm_cli.models.layers.initialization import linear_parameter, truncated_normal_
from trm_cli.models.layers.neighbours import mix_neighbours
from trm_cli.models.layers.norm import add_rms_norm, rms_norm
from trm_cli.models.layers.rotary import Rope

#: What pre-norm residual sums begin with: shares of the stream and of what is added to it (FPRM).
_FIRST_SCALES = (0.75, 0.25)
#: Deviation of the first weights between neighbours.
_FIRST_NEIGHBOURS = 0.1


@dataclass(frozen=True)
class BlockStyle:
    """How a block is put together; the defaults are those of TRM as published.

    pre_norm: `h <- a h + b f(norm(h))` with learned a, b instead of `h <- norm(h + f(h))`. gate_norm: `normed_glu`
    instead of SwiGLU. relations: of the cells of a board, of which each head of attention has a bias.
    """

    pre_norm: bool = False
    gate_norm: bool = False
    relations: Relations | None = None


class BlockWeights(NamedTuple):
    """The weights of one block in the activation type. `mix_*` mixes tokens, the others each token's features."""

    mix_in: Tensor  # attention: qkv [3 H hd, D]; token MLP: gate and up [2I, L]; neighbours: [D, 1, 3, 3]
    mix_out: Tensor | None  # attention: [D, H hd]; token MLP: [L, I]; neighbours: None
    gate_up: Tensor  # [2I, D]
    down: Tensor  # [D, I]
    bias: Tensor | None = None  # of the scores of attention: [H, L, L]
    scales: Tensor | None = None  # of a pre-norm block: a and b of the mixing, then of the MLP, [4]
    gate_norm: bool = False


def run_block(h: Tensor, weights: BlockWeights, rope: Rope | None, num_heads: int, causal: bool = False) -> Tensor:
    """`h <- norm(h + mix(h)); h <- norm(h + swiglu(h))`, norms without a learned gain: [B, L, D] -> [B, L, D].

    `num_heads` 0 mixes tokens by a gated MLP along L, and that norm is taken along L too; or, by weights without
    `mix_out`, each cell of a board with its neighbours. causal: position i depends on positions up to i alone. See
    `BlockStyle` for what weights may change of it.
    """
    mix_in, mix_out = weights.mix_in, weights.mix_out
    if mix_out is None:
        return run_block_with(lambda x: mix_neighbours(x, mix_in), h, weights)

    def mix(x: Tensor) -> Tensor:
        if num_heads:
            return attention(x, mix_in, mix_out, num_heads, rope, causal, weights.bias)
        if weights.gate_norm:
            return normed_glu(x, mix_in, mix_out, dim=-2)
        return token_swiglu(x, mix_in, mix_out)

    return run_block_with(mix, h, weights, along=-1 if num_heads else -2)


def run_block_with(mix: Callable[[Tensor], Tensor], h: Tensor, weights: BlockWeights, along: int = -1) -> Tensor:
    """`run_block` whose tokens are mixed by `mix`, with the norm of that sum along `along`."""
    transform = normed_glu if weights.gate_norm else swiglu
    if weights.scales is None:
        h = add_rms_norm(h, mix(h), dim=along)
        return add_rms_norm(h, transform(h, weights.gate_up, weights.down))
    a, b, c, d = weights.scales.unbind()
    h = a * h + b * mix(rms_norm(h, along))
    return c * h + d * transform(rms_norm(h), weights.gate_up, weights.down)


class Block(nn.Module):
    """Owner of the master weights of one block, the matrices in the order of `BlockWeights`. A pre-norm block has
    `scales` [4] as well.
    """

    def __init__(self, style: BlockStyle) -> None:
        super().__init__()
        self.style = style
        self.scales: nn.Parameter | None = None

    def matrices(self) -> tuple[nn.Parameter, ...]:
        """Those of `BlockWeights`, which are in order the first parameters."""
        return tuple(self.parameters())[:4]

    def cast(self, dtype: torch.dtype) -> BlockWeights:
        """Copies in `dtype` through which gradients reach the master weights."""
        scales = None if self.scales is None else self.scales.to(dtype)
        mix_in, mix_out, gate_up, down = (weight.to(dtype) for weight in self.matrices())
        return BlockWeights(mix_in, mix_out, gate_up, down, scales=scales, gate_norm=self.style.gate_norm)

    def _add_scales(self) -> None:
        if self.style.pre_norm:
            self.scales = nn.Parameter(torch.tensor(_FIRST_SCALES * 2))


class AttentionBlock(Block):
    """Master weights of a block that attends. State: `qkv`, `out`, `gate_up`, `down`; on a board `relations` [H, R],
    the bias of each head for each kind of relation.
    """

    def __init__(self, hidden_size: int, num_heads: int, expansion: float, style: BlockStyle) -> None:
        super().__init__(style)
        inner = hidden_size // num_heads * num_heads  # 12 heads of 512 are 42 wide and leave 8 features out
        width = swiglu_width(hidden_size, expansion)
        self.qkv = linear_parameter(3 * inner, hidden_size)
        self.out = linear_parameter(hidden_size, inner)
        self.gate_up = linear_parameter(2 * width, hidden_size)
        self.down = linear_parameter(hidden_size, width)
        self._add_scales()
        relations = style.relations
        self.relations: nn.Parameter | None = None
        if relations is not None:
            self.relations = nn.Parameter(relations.preferences(num_heads))
        self.kinds: Tensor | None
        self.register_buffer("kinds", None if relations is None else relations.kinds, persistent=False)

    def cast(self, dtype: torch.dtype) -> BlockWeights:
        """See `Block`; the bias of each pair of positions is looked up once as well."""
        weights = super().cast(dtype)
        if self.relations is None or self.kinds is None:
            return weights
        return weights._replace(bias=self.relations.to(dtype)[:, self.kinds])


class TokenMLPBlock(Block):
    """Master weights of a block with an MLP over tokens. State: `token_gate_up`, `token_down`, `gate_up`, `down`.

    On a board a hidden unit of the first two begins with the cells of one row, column or box, and may learn more.
    """

    def __init__(self, hidden_size: int, length: int, expansion: float, style: BlockStyle) -> None:
        super().__init__(style)
        token_width = swiglu_width(length, expansion)
        width = swiglu_width(hidden_size, expansion)
        self.token_gate_up = linear_parameter(2 * token_width, length)
        self.token_down = linear_parameter(length, token_width)
        self.gate_up = linear_parameter(2 * width, hidden_size)
        self.down = linear_parameter(hidden_size, width)
        self._add_scales()
        if style.relations is not None:
            self._begin_with(style.relations.units(token_width))

    @torch.no_grad()
    def _begin_with(self, seen: Tensor) -> None:
        """Keep the first weights of the tokens that a unit sees, bool [I, L], scaled to what all would give."""
        inward = seen * (seen.shape[1] / seen.sum(1, keepdim=True)).sqrt()
        self.token_gate_up.mul_(inward.repeat(2, 1))
        self.token_down.mul_((seen * (len(seen) / seen.sum(0)).sqrt()).T)


class NeighbourBlock(Block):
    """Master weights of a block in which each cell of a square board sees its eight neighbours alone. State:
    `gate_up`, `down`, `neighbours` [D, 1, 3, 3].
    """

    def __init__(self, hidden_size: int, expansion: float, style: BlockStyle) -> None:
        super().__init__(style)
        width = swiglu_width(hidden_size, expansion)
        self.gate_up = linear_parameter(2 * width, hidden_size)
        self.down = linear_parameter(hidden_size, width)
        self.neighbours = nn.Parameter(truncated_normal_(torch.empty(hidden_size, 1, 3, 3), _FIRST_NEIGHBOURS))
        self._add_scales()

    def matrices(self) -> tuple[nn.Parameter, ...]:
        """See `Block`: no matrix mixes the tokens."""
        return self.gate_up, self.down

    def cast(self, dtype: torch.dtype) -> BlockWeights:
        """See `Block`."""
        scales = None if self.scales is None else self.scales.to(dtype)
        neighbours, gate_up, down = (weight.to(dtype) for weight in (self.neighbours, self.gate_up, self.down))
        return BlockWeights(neighbours, None, gate_up, down, scales=scales, gate_norm=self.style.gate_norm)
