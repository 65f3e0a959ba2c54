"""The stack of blocks that a recursive network applies repeatedly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from trm_cli.models.kernels.cache import cached_rows, joined
from trm_cli.models.kernels.compiling import compiled
from trm_cli.models.layers.block import (
    AttentionBlock,
    Block,
    BlockStyle,
    BlockWeights,
    NeighbourBlock,
    TokenMLPBlock,
    run_block,
)
from trm_cli.models.layers.rotary import Rope

#: Of what the compiler would keep for the backward pass: a quarter less memory for -1 to 4 % more time.
_KEPT_WHEN_COMPILED = 0.8

#: How positions learn of each other: of all by attention, of all by an MLP, or cells of their neighbours alone.
Mixing = Literal["attention", "mlp", "neighbours"]


def run_stack(
    h: Tensor, weights: tuple[BlockWeights, ...], rope: Rope | None, num_heads: int, causal: bool = False
) -> Tensor:
    """One block after the other over h [B, L, D]; see `run_block`. A pure function, which torch.compile may wrap."""
    for block in weights:
        h = run_block(h, block, rope, num_heads, causal)
    return h


def recomputed(function: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """`function(*arguments)`, of which the backward pass keeps the arguments alone; the gradients are the same bits.

    Nothing here draws random numbers, so no generator has to be put back for the second run.
    """
    result: Tensor = checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)
    return result


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
        mixing: Mixing,
        causal: bool = False,
        style: BlockStyle | None = None,
    ) -> None:
        super().__init__()
        style = style or BlockStyle()
        self.num_heads = num_heads if mixing == "attention" else 0
        self.causal = causal
        new_block: dict[Mixing, Callable[[], Block]] = {
            "attention": lambda: AttentionBlock(hidden_size, num_heads, expansion, style),
            "mlp": lambda: TokenMLPBlock(hidden_size, length, expansion, style),
            "neighbours": lambda: NeighbourBlock(hidden_size, expansion, style),
        }
        self.layers = nn.ModuleList(new_block[mixing]() for _ in range(depth))
        self.compute: Callable[..., Tensor] = run_stack
        #: Trade a second forward pass of each call with a gradient for the memory of its activations.
        self.recompute = False

    def matrices(self) -> list[nn.Parameter]:
        """The weights of all blocks that map features to features, or tokens to tokens."""
        return [weight for block in self.layers if isinstance(block, Block) for weight in block.matrices()]

    def cast(self, dtype: torch.dtype) -> tuple[BlockWeights, ...]:
        """All weights in `dtype`: once per forward pass, for all calls of the pass."""
        return tuple(block.cast(dtype) for block in self.layers if isinstance(block, Block))

    def compile_compute(self, **options: Any) -> None:
        """Compile the stack and nothing around it: a fifth of the warm-up of the whole step for about the same gain.

        What is cheap to compute again is not kept for the backward pass, as in the hand-written gradients.
        """
        from torch._functorch import config  # loads the compiler: a run without it starts sooner

        call = compiled(run_stack, **options)

        def compute(*arguments: Any) -> Tensor:
            with config.patch(activation_memory_budget=_KEPT_WHEN_COMPILED):
                result: Tensor = call(*arguments)
            return result

        self.compute = compute

    def forward(self, h: Tensor, weights: tuple[BlockWeights, ...], rope: Rope | None) -> Tensor:
        """H [B, L, D] with the injection already added; weights from `cast`."""
        if not torch.is_grad_enabled():
            # The same bits, a few rows at a time: what lies between two products then stays in the processor's cache.
            chunks = cached_rows(h)
            return joined([self.compute(h[rows], weights, rope, self.num_heads, self.causal) for rows in chunks])
        if self.recompute:
            return recomputed(self.compute, h, weights, rope, self.num_heads, self.causal)
        return self.compute(h, weights, rope, self.num_heads, self.causal)
