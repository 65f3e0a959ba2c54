"""The stack of post-norm blocks that every recursive network here calls again and again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trm_cli.models.layers import blocks, formulas
from trm_cli.models.layers.blocks import Rope

#: Of what the compiler would keep for the backward pass: a quarter less memory for -1 to 4 % more time.
_KEPT_WHEN_COMPILED = 0.8


class BlockWeights(NamedTuple):
    """The weights of one block in the activation type. `mix_*` mixes tokens, the others each token's features."""

    mix_in: Tensor  # attention: qkv [3 H hd, D]; token MLP: gate and up [2I, L]
    mix_out: Tensor  # attention: [D, H hd]; token MLP: [L, I]
    gate_up: Tensor  # [2I, D]
    down: Tensor  # [D, I]


def recomputed(function: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """`function(*arguments)`, of which the backward pass keeps the arguments alone; the gradients are the same bits.

    Nothing here draws random numbers, so no generator has to be put back for the second run.
    """
    result: Tensor = checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)
    return result


def run_stack(
    h: Tensor, weights: tuple[BlockWeights, ...], rope: Rope | None, num_heads: int, causal: bool = False
) -> Tensor:
    """Blocks over h [B, L, D]; `num_heads` 0 mixes tokens with a gated MLP along L (and norms along L there).

    causal: position i depends on positions up to i alone.

    h <- norm(h + mix(h)); h <- norm(h + swiglu(h)), norms without a learned gain. A pure function, which torch.compile
    may wrap.
    """
    for block in weights:
        if num_heads:
            mixed = blocks.attention(h, block.mix_in, block.mix_out, num_heads, rope, causal)
            h = blocks.add_rms_norm(h, mixed)
        else:
            h = blocks.add_rms_norm(h, blocks.token_swiglu(h, block.mix_in, block.mix_out), dim=-2)
        h = blocks.add_rms_norm(h, blocks.swiglu(h, block.gate_up, block.down))
    return h


class Block(nn.Module, ABC):
    """Owner of the master weights of one block."""

    @abstractmethod
    def cast(self, dtype: torch.dtype) -> BlockWeights:
        """Copies in `dtype` through which gradients reach the master weights."""


class AttentionBlock(Block):
    """Master weights of a block that attends. State: `qkv`, `out`, `gate_up`, `down`."""

    def __init__(self, hidden_size: int, num_heads: int, expansion: float) -> None:
        super().__init__()
        inner = hidden_size // num_heads * num_heads  # 12 heads of 512 are 42 wide and leave 8 features out
        width = blocks.swiglu_width(hidden_size, expansion)
        self.qkv = blocks.linear_parameter(3 * inner, hidden_size)
        self.out = blocks.linear_parameter(hidden_size, inner)
        self.gate_up = blocks.linear_parameter(2 * width, hidden_size)
        self.down = blocks.linear_parameter(hidden_size, width)

    def cast(self, dtype: torch.dtype) -> BlockWeights:
        """See `Block`."""
        return BlockWeights(self.qkv.to(dtype), self.out.to(dtype), self.gate_up.to(dtype), self.down.to(dtype))


class TokenMLPBlock(Block):
    """Master weights of a block with an MLP over tokens. State: `token_gate_up`, `token_down`, `gate_up`, `down`."""

    def __init__(self, hidden_size: int, length: int, expansion: float) -> None:
        super().__init__()
        token_width = blocks.swiglu_width(length, expansion)
        width = blocks.swiglu_width(hidden_size, expansion)
        self.token_gate_up = blocks.linear_parameter(2 * token_width, length)
        self.token_down = blocks.linear_parameter(length, token_width)
        self.gate_up = blocks.linear_parameter(2 * width, hidden_size)
        self.down = blocks.linear_parameter(hidden_size, width)

    def cast(self, dtype: torch.dtype) -> BlockWeights:
        """See `Block`."""
        mix_in, mix_out = self.token_gate_up.to(dtype), self.token_down.to(dtype)
        return BlockWeights(mix_in, mix_out, self.gate_up.to(dtype), self.down.to(dtype))


class Stack(nn.Module):
    """`depth` blocks with one kind of token mixing. State: `layers.{i}.` followed by the block's names."""

    def __init__(
        self,
        *,
        depth: int,
        hidden_size: int,
        num_heads: int,
        expansion: float,
        length: int,
        mlp_t: bool,
        causal: bool = False,
    ) -> None:
        super().__init__()
        if not mlp_t and hidden_size // num_heads == 0:
            raise ValueError(f"num_heads {num_heads} is more than hidden_size {hidden_size}: a head would be empty.")
        self.num_heads = 0 if mlp_t else num_heads
        self.causal = causal
        self.layers = nn.ModuleList(
            TokenMLPBlock(hidden_size, length, expansion)
            if mlp_t
            else AttentionBlock(hidden_size, num_heads, expansion)
            for _ in range(depth)
        )
        self.compute: Callable[..., Tensor] = run_stack
        #: Trade a second forward pass of each call with a gradient for the memory of its activations.
        self.recompute = False

    def cast(self, dtype: torch.dtype) -> tuple[BlockWeights, ...]:
        """All weights in `dtype`: once per forward pass, for all calls of the pass."""
        return tuple(block.cast(dtype) for block in self.layers if isinstance(block, Block))

    def compile_compute(self, **options: Any) -> None:
        """Compile the stack and nothing around it: a fifth of the warm-up of the whole step for about the same gain.

        What is cheap to compute again is not kept for the backward pass, as in the hand-written gradients.
        """
        from torch._functorch import config  # loads the compiler: a run without it starts sooner

        config.activation_memory_budget = _KEPT_WHEN_COMPILED
        self.compute = torch.compile(run_stack, **options)

    def forward(self, h: Tensor, weights: tuple[BlockWeights, ...], rope: Rope | None) -> Tensor:
        """H [B, L, D] with the injection already added; weights from `cast`."""
        if not torch.is_grad_enabled():
            # The same bits, a few rows at a time: what lies between two products then stays in the processor's cache.
            chunks = formulas.cached_rows(h)
            return formulas.joined(
                [self.compute(h[rows], weights, rope, self.num_heads, self.causal) for rows in chunks]
            )
        if self.recompute:
            return recomputed(self.compute, h, weights, rope, self.num_heads, self.causal)
        return self.compute(h, weights, rope, self.num_heads, self.causal)
