"""Read a text token by token with a causal network of tokens: each call of a stack keeps its keys and values."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from trm_cli.models.kernels.products import linear
from trm_cli.models.layers.attention import split_heads
from trm_cli.models.layers.block import BlockWeights, run_block_with
from trm_cli.models.layers.rotary import Rope
from trm_cli.models.supervision.losses import log_stablemax_scores
from trm_cli.models.text_reader import TextReader

if TYPE_CHECKING:
    from trm_cli.models.networks.shared.token_network import TokenNetwork


class TokenReader(TextReader):
    """Reads `window` tokens at most, each of them in every pass of all supervision steps once."""

    def __init__(self, network: TokenNetwork, window: int, steps: int) -> None:
        super().__init__(min(window, network.seq_len))
        self._network, self._steps = network, steps
        self._stacks: dict[str, _GrowingStack] = {}

    def _whole(self, tokens: Sequence[int]) -> Tensor:
        network = self._network
        self._stacks = {
            name: _GrowingStack(stack.cast(network.dtype), network.rope, stack.num_heads, network.positions)
            for name, stack in network.stacks().items()
        }
        return self._places(0, tokens)

    def _next(self, token: int) -> Tensor:
        return self._places(len(self._read) - 1, [token])

    def _places(self, start: int, tokens: Sequence[int]) -> Tensor:
        """Read tokens whose first is token `start` of the row, and the prefix before the first of all."""
        network, config = self._network, self._network.config
        row = torch.zeros(1, network.seq_len, dtype=torch.int32, device=network.device)
        row[0, start : start + len(tokens)] = torch.tensor(tokens, device=network.device)
        first, stop = (start + config.puzzle_tokens if start else 0), start + len(tokens) + config.puzzle_tokens
        with torch.inference_mode():
            x = network.embed({"inputs": row, "puzzle_identifiers": row[:, 0] * 0})[:, first:stop]
            z = {name: value.to(x.dtype).expand_as(x) for name, value in network.initial_states().items()}
            for stack in self._stacks.values():
                stack.start_at(first)
            for _ in range(self._steps):
                z = config.think(z, x, self._stacks, nullcontext)
            logits = functional.linear(z[config.answer_state][:, -1], network.lm_head.to(network.dtype))
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
