"""Read a text byte by byte: keys and values of the places before are kept.

Nothing at a place changes when a later one is read (see `visibility`), so that a further byte is one place in each pass
over the tokens. Where a capsule has just read the last byte of its part, its slot is new: then the text is read again,
once in so many bytes as a capsule has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trm_cli.models.hesc.passes import FORBIDDEN
from trm_cli.models.hesc.rows.kinds import PAD, WORDS, Kind
from trm_cli.models.hesc.rows.positions import Rotation
from trm_cli.models.hesc.thinking.blocks import TokenBlock
from trm_cli.models.hesc.thinking.visibility import capsule_length
from trm_cli.models.layers.norm import rms_norm
from trm_cli.models.layers.rotary import Rope
from trm_cli.models.supervision.losses import IGNORED_LABEL
from trm_cli.models.text_reader import TextReader
from trm_cli.models.thinking import think

if TYPE_CHECKING:
    from trm_cli.models.hesc.network import HescNetwork
    from trm_cli.models.network import Network


class HescReader(TextReader):
    """Reads as an evaluation does, `window` places at most; in another type than float32 each byte reads all again."""

    def __init__(self, model: Network, network: HescNetwork, window: int) -> None:
        """model: what is read with, and `network`, the part of it that thinks."""
        super().__init__(window)
        self._model, self._network = model, network
        self._calls: list[_Call] = []
        rope = network.symbols.text_rope(window)
        self._rotation = Rotation(rope, rope)

    def _whole(self, tokens: Sequence[int]) -> Tensor:
        model, device, count = self._model, self._model.device, len(tokens)
        text = torch.full((1, self.window), PAD, dtype=torch.int32, device=device)
        text[0, :count] = torch.tensor(tokens, device=device)
        target = torch.full((1, model.seq_len), IGNORED_LABEL, dtype=torch.int32, device=device)
        # Asked for at the last place alone: what lies beyond it is not computed.
        target[0, count - 1] = PAD
        kind = torch.full((1,), int(Kind.TEXT), dtype=torch.int32, device=device)
        batch = {"kind": kind, "text": text, "target": target, "puzzle_identifiers": torch.zeros_like(kind)}
        with _calls_of(self._network.recursion.text.blocks) as found:
            for step in think(model, batch, policy="bce"):
                outputs = step.outputs
        if model.dtype != torch.float32:
            return outputs.logits[0, count - 1].float()
        with torch.inference_mode():
            self._calls = [_Call.after(*call, self._rotation, self.window) for call in found]
        return outputs.logits[0, count - 1].float()

    def _next(self, token: int) -> Tensor:
        model, network, place = self._model, self._network, len(self._read) - 1
        slot_is_new = network.config.text_workspace and (place + 1) % capsule_length(network.config, self.window) == 0
        if slot_is_new or model.dtype != torch.float32:
            return self._whole(self._read)
        with torch.inference_mode():
            injection = rms_norm(network.symbols.table[token])[None, None]
            h = network.recursion.token_start.expand_as(injection)
            for call in self._calls:
                if call.begins_pass:
                    h = h + injection
                h = call.add(h, place, self._rotation)
            first, stop = WORDS[Kind.TEXT]
            assert stop is not None
            scores = network.scores(h, Kind.TEXT)[0, 0]
            return functional.pad(scores, (first, model.vocab_size - stop), value=FORBIDDEN)


@dataclass
class _Call:
    """A block applied once more: keys and values [1, H, slots + window, head width] of the slots that the next places
    may look at and of all places, of which the first are known; before [1, taps - 1, d]: the last inputs."""

    block: TokenBlock
    begins_pass: bool
    slots: int
    keys: Tensor
    values: Tensor
    before: Tensor

    @classmethod
    def after(
        cls, block: TokenBlock, begins_pass: bool, inputs: tuple[Any, ...], rotation: Rotation, window: int
    ) -> _Call:
        """What is to be kept of a call whose arguments were `inputs`."""
        h, _, slots, mask, *_ = inputs
        count = h.shape[1]
        if mask is not None:
            slots = slots[:, mask[0, 0, -1, count:]]
        keys, values = block.keys_values(h, _places(rotation, 0, count), slots)
        own = slots.shape[1]
        kept = [one.new_zeros(*one.shape[:2], own + window, one.shape[3]) for one in (keys, values)]
        for buffer, found in zip(kept, (keys, values), strict=True):
            places, of_slots = found.split((count, own), 2)
            buffer[:, :, :own], buffer[:, :, own : own + count] = of_slots, places
        before = functional.pad(h, (0, 0, block.taps - 1, 0))[:, count:]
        return cls(block, begins_pass, own, kept[0], kept[1], before)

    def add(self, h: Tensor, place: int, rotation: Rotation) -> Tensor:
        """One more place: h [1, 1, d] -> [1, 1, d]."""
        turned, end = _places(rotation, place, place + 1), self.slots + place + 1
        key, value = self.block.keys_values(h, turned, h[:, :0])
        self.keys[:, :, end - 1], self.values[:, :, end - 1] = key[:, :, 0], value[:, :, 0]
        after = self.block.next_place(h, turned, self.keys[:, :, :end], self.values[:, :, :end], self.before)
        self.before = torch.cat((self.before[:, 1:], h), 1)
        return after


@contextmanager
def _calls_of(blocks: nn.ModuleList) -> Iterator[list[tuple[TokenBlock, bool, tuple[Any, ...]]]]:
    """The calls of blocks within the block: each with whether it is the first of a pass, and its arguments."""
    found: list[tuple[TokenBlock, bool, tuple[Any, ...]]] = []

    def watch(block: nn.Module, arguments: tuple[Any, ...]) -> None:
        assert isinstance(block, TokenBlock)
        found.append((block, block is blocks[0], arguments))

    handles = [block.register_forward_pre_hook(watch) for block in blocks]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _places(rotation: Rotation, start: int, stop: int) -> Rotation:
    return Rotation(*(Rope(*(table[start:stop] for table in rope)) for rope in rotation))
