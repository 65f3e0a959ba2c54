"""Decode answers with one stack: grids in parallel, one query per cell; text causally, with RoPE."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from trm_cli.models.hesc import vocabulary
from trm_cli.models.hesc.blocks import ReadingBlock
from trm_cli.models.hesc.capsules import LEANING, slot_leaning
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.geometry import TEXT
from trm_cli.models.layers.initialization import embedding_parameter
from trm_cli.models.layers.norm import rms_norm
from trm_cli.models.layers.rotary import Rope, rope_tables


class Reading(NamedTuple):
    """hidden [B, T, D] of unit size; embedded target tokens [B, T, D]; rope of the T positions."""

    hidden: Tensor
    embedded: Tensor
    rope: Rope

    def first(self, places: int) -> Reading:
        """The same of the first places alone."""
        rope = Rope(self.rope.cos[:places], self.rope.sin[:places])
        return Reading(self.hidden[:, :places], self.embedded[:, :places], rope)


class AnswerDecoder(nn.Module):
    """Reads the working set. A batch may mix both kinds of row: kind decides inputs, mask and rotation, row by row.

    The embedding table is also the output map (tied).
    """

    cos: Tensor
    sin: Tensor
    leaning: Tensor

    def __init__(self, config: HescConfig, vocab_size: int, seq_len: int) -> None:
        super().__init__()
        width, side = config.hidden_size, config.geometry.cells_per_side
        if vocab_size < vocabulary.MINIMUM_VOCABULARY:
            raise ValueError(
                f"vocab_size is {vocab_size}; colours, bytes and controls need {vocabulary.MINIMUM_VOCABULARY}."
            )
        self.table = embedding_parameter(vocab_size, width)
        # A place of its own for every cell: a sum of a row and a column could not pick one cell out of a capsule that
        # holds several of both before the layers above have learnt to multiply the two. And the sum as well: a rule
        # that holds for a whole column (mirror) would have to be found by each of its cells alone.
        self.places = embedding_parameter(config.geometry.cells, width)
        self.rows, self.columns = embedding_parameter(side, width), embedding_parameter(side, width)
        self.blocks = nn.ModuleList(
            ReadingBlock(width, config.num_heads, config.expansion, reads=True) for _ in range(config.decoder_layers)
        )
        # Half of the heads look for what a cell needs in the capsules of its own place first, the others anywhere.
        own = slot_leaning(config, side, LEANING)
        places = torch.nn.functional.pad(own, (config.num_registers, 0), value=-LEANING)
        heads = torch.arange(config.num_heads) % 2 == 0
        self.register_buffer("leaning", heads[:, None, None] * places, persistent=False)
        rope = rope_tables(max(seq_len, 1), width // config.num_heads, config.rope_theta)
        self.register_buffer("cos", rope.cos, persistent=False)
        self.register_buffer("sin", rope.sin, persistent=False)

    def _queries(self, length: int) -> Tensor:
        """Position queries of the canvas's cells, zero beyond them: [T, D] of unit size."""
        shared = (self.rows[:, None] + self.columns).flatten(0, 1)
        places = rms_norm(self.places + shared)[:length]
        return torch.nn.functional.pad(places, (0, 0, 0, length - places.shape[0]))

    def _reading_mask(self, visible: Tensor, is_text: Tensor, length: int, dtype: torch.dtype) -> Tensor:
        """Visible bool [B, S], is_text [B, 1, 1] -> added to the scores, [B, H, T, S]: -inf where hidden."""
        leaning = torch.nn.functional.pad(self.leaning[:, :length], (0, 0, 0, max(0, length - self.leaning.shape[1])))
        leaning = torch.where(is_text[..., None], torch.zeros_like(leaning), leaning)
        return leaning.masked_fill(~visible[:, None, None], -torch.inf).to(dtype)

    def logits(self, hidden: Tensor) -> Tensor:
        """[B, T, D] of unit size -> [B, T, V], float32."""
        return (hidden @ self.table.T).float()

    def forward(self, slots: Tensor, visible: Tensor, target: Tensor, target_kind: Tensor) -> Reading:
        """Slots [B, S, D], visible bool [B, S], target int [B, T] (text rows: the tokens that precede each position are
        read; grid rows: not looked at), target_kind [B].

        Raises ValueError where the target is longer than the sequence that the model was made for.
        """
        length = target.shape[1]
        if length > self.cos.shape[0]:
            raise ValueError(f"A target of {length} tokens does not fit a model made for {self.cos.shape[0]}.")
        is_text = (target_kind == TEXT).view(-1, 1, 1)
        embedded = rms_norm(self.table)[target.clamp_min(vocabulary.PAD).long()]
        begin = rms_norm(self.table[vocabulary.BEGIN]).expand(target.shape[0], 1, -1)
        before = torch.cat((begin, embedded[:, :-1]), 1)
        # Every place knows which puzzle is asked about (register 0): what is read means another answer in each, and by
        # looking at registers alone that is found out a thousand updates later.
        h = torch.where(is_text, before, self._queries(length)) + slots[:, :1]
        causal = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        mask = (causal | ~is_text)[:, None]
        turn = is_text[:, None]
        cos, sin = self.cos[:length], self.sin[:length]
        rope = Rope(torch.where(turn, cos, torch.ones_like(cos)), torch.where(turn, sin, torch.zeros_like(sin)))
        look = self._reading_mask(visible, is_text, length, slots.dtype)
        for block in self.blocks:
            h = block(h, mask, rope, slots, look)
        return Reading(rms_norm(h), embedded, Rope(cos, sin))
