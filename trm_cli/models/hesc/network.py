"""Run the differentiable components in one pass: codes -> pixels -> capsules -> recursion -> plan -> answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trm_cli.models.hesc import vocabulary
from trm_cli.models.hesc.blocks import Linear
from trm_cli.models.hesc.capsules import CapsulePool, Capsules, PixelHead
from trm_cli.models.hesc.concepts import Coding, Concepts
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.decoder import AnswerDecoder
from trm_cli.models.hesc.encoder import PatchEncoder
from trm_cli.models.hesc.memory import EpisodicMemory
from trm_cli.models.hesc.multi_token_prediction import FurtherTokens
from trm_cli.models.hesc.planner import LatentPlanner, Plan
from trm_cli.models.hesc.rasteriser import Rasteriser
from trm_cli.models.hesc.recursion import Recursion
from trm_cli.models.hesc.working_set import WorkingSet
from trm_cli.models.layers.outputs import Outputs

_HALT_BIAS = -5.0
# Finite, so that a forbidden token costs exp(-1e4) = 0 and its entropy term is 0 * -1e4, not 0 * -inf.
_FORBIDDEN = -1.0e4


@dataclass(frozen=True)
class NetworkPass:
    """The outputs of one pass; float32 unless noted, with gradients unless marked as detached.

    z_H, z_L, slots (what the decoder reads) [B, S, D] in the activation type; scores [B, T, V]: what the softmax of the
    answer is taken of; q_halt [B]; patches [B, P, pixels] as they are; cue [B, key]: the memory's query. In training
    mode alone: further, for k = 1, 2, ... such scores [B, T' - k, V] of the token k later, where T' places can hold
    text; drawn: pixels by sketches alone, and by sketches and children, [B, P, pixels] each.
    """

    z_H: Tensor
    z_L: Tensor
    slots: Tensor
    scores: Tensor
    log_probs: Tensor
    further: tuple[Tensor, ...]
    q_halt: Tensor
    capsules: Capsules
    patches: Tensor
    drawn: tuple[Tensor, ...]
    plan: Plan | None
    coding: Coding | None
    cue: Tensor | None


@dataclass(frozen=True)
class HescOutputs(Outputs):
    """thought: everything the pass said; q float32 [B, 3] or None; action int64 [B]; opened bool [B, K]: the capsules
    whose children were visible in this step."""

    thought: NetworkPass | None = None
    q: Tensor | None = None
    action: Tensor | None = None
    opened: Tensor | None = None


class HescNetwork(nn.Module):
    """The parts and how they are joined. `enable_*` keys leave parts out, parameters and all."""

    may_say: Tensor

    def __init__(self, config: HescConfig, vocab_size: int, seq_len: int) -> None:
        super().__init__()
        self.config = config
        self.rasteriser = Rasteriser(config.geometry)
        self.encoder = PatchEncoder(config)
        self.capsules = CapsulePool(config)
        self.pixel_head = PixelHead(config) if config.enable_reconstruction else None
        self.concepts = Concepts(config) if config.enable_vq else None
        self.memory = EpisodicMemory(config) if config.enable_memory else None
        self.working_set = WorkingSet(config)
        self.recursion = Recursion(config)
        self.planner = LatentPlanner(config) if config.enable_latent_planning else None
        self.halt_head = Linear(config.hidden_size, 1, bias=_HALT_BIAS, std=0.0)
        self.decoder = AnswerDecoder(config, vocab_size, seq_len)
        self.mtp = FurtherTokens(config) if config.enable_mtp else None
        # A grid holds no letters and a text no colours: what a row cannot say takes no part in its softmax.
        colours = torch.arange(vocab_size)
        is_colour = (colours >= vocabulary.FIRST_COLOUR) & (colours < vocabulary.FIRST_BYTE)
        grid = is_colour | (colours == vocabulary.PAD) | (colours == vocabulary.EOS)
        self.register_buffer("may_say", torch.stack((grid, ~is_colour)), persistent=False)

    def see(self, data: Mapping[str, Tensor]) -> tuple[Tensor, Capsules]:
        """Batch fields -> patches [B, P, pixels] float32 and capsules."""
        pixels = self.rasteriser(data["canvas_kind"], data["canvas"], data.get("picture"))
        patches = self.rasteriser.patches(pixels)
        return patches, self.capsules(self.encoder(patches))

    def _draw_back(self, capsules: Capsules) -> tuple[Tensor, ...]:
        if self.pixel_head is None or not self.training:
            return ()
        positions = self.encoder.positions()
        drawn = [self.pixel_head(positions, capsules.sketches)]
        if capsules.children is not None:
            slots = torch.cat((capsules.sketches, capsules.children.flatten(1, 2)), 1)
            drawn.append(self.pixel_head(positions, slots))
        return tuple(drawn)

    def scores(self, hidden: Tensor, target_kind: Tensor) -> Tensor:
        """Hidden [B, T, D], kinds [B] -> [B, T, V] float32, what a row cannot say far below the rest."""
        scores = self.decoder.logits(hidden)
        return scores.masked_fill(~self.may_say[target_kind.long()][:, None], _FORBIDDEN)

    def forward(
        self,
        data: Mapping[str, Tensor],
        z_H: Tensor,
        z_L: Tensor,
        opened: Tensor,
        puzzle: Tensor | None,
        planner_draw: Tensor | None,
    ) -> NetworkPass:
        """One pass from states [B, S, D] with the capsules opened bool [B, K]; puzzle rows [B, D] or None."""
        patches, capsules = self.see(data)
        coding = None
        seen = capsules
        if self.concepts is not None:
            coding = self.concepts(capsules.sketches)
            seen = capsules._replace(sketches=capsules.sketches + coding.added)
        remembered, cue = None, None
        if self.memory is not None:
            remembered, cue = self.memory.read(capsules.sketches.mean(1))
        kind = data["target_kind"]
        injection = self.working_set(seen, puzzle, remembered, data["canvas_kind"], kind)
        visible = self.working_set.visible(opened)
        z_H, z_L = self.recursion(z_H, z_L, injection, visible)
        answer, plan = z_H, None
        if self.planner is not None:
            answer, plan = self.planner(z_H, visible, planner_draw)
        # The answer is read off the thought and off the canvas itself: what a thought left out can still be copied.
        slots = answer + injection
        reading = self.decoder(slots, visible, data["target"], kind)
        scores = self.scores(reading.hidden, kind)
        further: tuple[Tensor, ...] = ()
        if self.mtp is not None and self.training:
            # Only texts look ahead, and none is longer: a full canvas has eight times as many places for its cells.
            states = self.mtp(*reading.first(vocabulary.TEXT_PLACES))
            further = tuple(self.scores(state, kind) for state in states)
        return NetworkPass(
            z_H=answer,
            z_L=z_L,
            slots=slots,
            scores=scores,
            log_probs=scores.log_softmax(-1),
            further=further,
            q_halt=self.halt_head(answer[:, 0])[..., 0].float(),
            capsules=capsules,
            patches=patches,
            drawn=self._draw_back(capsules),
            plan=plan,
            coding=coding,
            cue=cue,
        )
