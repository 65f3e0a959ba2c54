"""The post-norm transformer block of the recursive networks, and the modules that own its weights."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from trm_cli.models.layers.attention import attention
from trm_cli.models.layers.gated_mlp import swiglu, swiglu_width, token_swiglu
from trm_cli.models.layers.initialization import linear_parameter
from trm_cli.models.layers.norm import add_rms_norm
from trm_cli.models.layers.rotary import Rope


class BlockWeights(NamedTuple):
    """The weights of one block in the activation type. `mix_*` mixes tokens, the others each token's features."""

    mix_in: Tensor  # attention: qkv [3 H hd, D]; token MLP: gate and up [2I, L]
    mix_out: Tensor  # attention: [D, H hd]; token MLP: [L, I]
    gate_up: Tensor  # [2I, D]
    down: Tensor  # [D, I]


def run_block(h: Tensor, weights: BlockWeights, rope: Rope | None, num_heads: int, causal: bool = False) -> Tensor:
    """`h <- norm(h + mix(h)); h <- norm(h + swiglu(h))`, norms without a learned gain: [B, L, D] -> [B, L, D].

    `num_heads` 0 mixes tokens by a gated MLP along L, and that norm is taken along L too. causal: position i depends on
    positions up to i alone.
    """
    if num_heads:
        h = add_rms_norm(h, attention(h, weights.mix_in, weights.mix_out, num_heads, rope, causal))
    else:
        h = add_rms_norm(h, token_swiglu(h, weights.mix_in, weights.mix_out), dim=-2)
    return add_rms_norm(h, swiglu(h, weights.gate_up, weights.down))


class Block(nn.Module):
    """Owner of the master weights of one block, in the order of `BlockWeights`."""

    def cast(self, dtype: torch.dtype) -> BlockWeights:
        """Copies in `dtype` through which gradients reach the master weights."""
        return BlockWeights(*(weight.to(dtype) for weight in self.parameters()))


class AttentionBlock(Block):
    """Master weights of a block that attends. State: `qkv`, `out`, `gate_up`, `down`."""

    def __init__(self, hidden_size: int, num_heads: int, expansion: float) -> None:
        super().__init__()
        inner = hidden_size // num_heads * num_heads  # 12 heads of 512 are 42 wide and leave 8 features out
        width = swiglu_width(hidden_size, expansion)
        self.qkv = linear_parameter(3 * inner, hidden_size)
        self.out = linear_parameter(hidden_size, inner)
        self.gate_up = linear_parameter(2 * width, hidden_size)
        self.down = linear_parameter(hidden_size, width)


class TokenMLPBlock(Block):
    """Master weights of a block with an MLP over tokens. State: `token_gate_up`, `token_down`, `gate_up`, `down`."""

    def __init__(self, hidden_size: int, length: int, expansion: float) -> None:
        super().__init__()
        token_width = swiglu_width(length, expansion)
        width = swiglu_width(hidden_size, expansion)
        self.token_gate_up = linear_parameter(2 * token_width, length)
        self.token_down = linear_parameter(length, token_width)
        self.gate_up = linear_parameter(2 * width, hidden_size)
        self.down = linear_parameter(hidden_size, width)
