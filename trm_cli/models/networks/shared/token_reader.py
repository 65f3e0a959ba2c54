"""Read a text token by token with a causal network of tokens: each call of a stack keeps its keys and values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trm_cli.models.kernels.products import linear
from trm_cli.models.layers.attention import split_heads
from trm_cli.models.layers.block import BlockWeights, run_block_with
from trm_cli.models.layers.rotary import Rope
from trm_cli.models.networks.shared.token_config import TokenConfig
from trm_cli.models.supervision.losses import log_stablemax_scores
from trm_cli.models.text_reader import TextReader


@dataclass(frozen=True)
class CausalParts:
    """What a reader needs of a network of tokens. embed: tokens [1, S] and a row of the table to x [1, L, D]. start:
    the initial state [D] of each carried one. blocks: of each stack, cast. head: [V, D]."""

    config: TokenConfig
    tokens: int
    embed: Callable[[Mapping[str, Tensor]], Tensor]
    start: Mapping[str, Tensor]
    blocks: Mapping[str, tuple[BlockWeights, ...]]
    rope: Rope | None
    head: Tensor


class TokenReader(TextReader):
    """Reads `window` tokens at most, each of them in every pass of all supervision steps once."""

    def __init__(self, parts: CausalParts, window: int, steps: int) -> None:
        super().__init__(min(window, parts.tokens))
        self._parts, self._steps = parts, steps
        self._stacks: dict[str, _GrowingStack] = {}

    def _whole(self, tokens: Sequence[int]) -> Tensor:
        parts = self._parts
        length = parts.config.puzzle_tokens + parts.tokens
        self._stacks = {
            name: _GrowingStack(blocks, parts.rope, parts.config.num_heads, length)
            for name, blocks in parts.blocks.items()
        }
        return self._places(0, tokens)

    def _next(self, token: int) -> Tensor:
        return self._places(len(self._read) - 1, [token])

    def _places(self, start: int, tokens: Sequence[int]) -> Tensor:
        """Read tokens whose first is token `start` of the row, and the prefix before the first of all."""
        parts, config, device = self._parts, self._parts.config, self._parts.head.device
        row = torch.zeros(1, parts.tokens, dtype=torch.int32, device=device)
        row[0, start : start + len(tokens)] = torch.tensor(tokens, device=device)
        first, stop = (start + config.puzzle_tokens if start else 0), start + len(tokens) + config.puzzle_tokens
        with torch.inference_mode():
            x = parts.embed({"inputs": row, "puzzle_identifiers": row[:, 0] * 0})[:, first:stop]
            z = {name: value.to(x.dtype).expand_as(x) for name, value in parts.start.items()}
            for stack in self._stacks.values():
                stack.start_at(first)
            for _ in range(self._steps):
                z = config.think(z, x, self._stacks, nullcontext)
            logits = functional.linear(z[config.answer_state][:, -1], parts.head)
            return log_stablemax_scores(logits[0].float())


class _GrowingStack:
    """A stack over places that come in turn. Its calls of one reading are told apart by their order."""

    def __init__(self, blocks: tuple[BlockWeights, ...], rope: Rope | None, num_heads: int, length: int) -> None:
        self._blocks, self._rope, self._heads, self._length = blocks, rope, num_heads, length
        #: Of each call of each block: keys and values [1, H, L, head width], of which the first `start` are known.
        self._kept: list[tuple[Tensor, Tensor]] = []
        self._start = self._call = 0

    def start_at(self, place: int) -> None:
        """Begin a reading whose first place is `place` of the row."""
        self._start, self._call = place, 0

    def __call__(self, h: Tensor) -> Tensor:
        """H [1, n, D] of the next n places -> [1, n, D]."""
        for block in self._blocks:
            h = self._run(h, block)
        return h

    def _run(self, h: Tensor, block: BlockWeights) -> Tensor:
        start, stop = self._start, self._start + h.shape[1]
        rope = None if self._rope is None else Rope(*(table[start:stop] for table in self._rope))

        def attend(x: Tensor) -> Tensor:
            assert block.mix_out is not None  # of attention
            q, k, v = split_heads(linear(x, block.mix_in), self._heads, rope)
            if self._call == len(self._kept):
                room = (1, self._heads, self._length, k.shape[-1])
                self._kept.append((k.new_zeros(room), v.new_zeros(room)))
            keys, values = self._kept[self._call]
            self._call += 1
            keys[:, :, start:stop], values[:, :, start:stop] = k, v
            # Several places are the first of all; one sees all that are known.
            mixed = functional.scaled_dot_product_attention(
                q, keys[:, :, :stop], values[:, :, :stop], is_causal=stop - start > 1
            )
            return linear(mixed.transpose(1, 2).flatten(2), block.mix_out)

        return run_block_with(attend, h, block)
