"""Using a trained model: think a batch through, step by step, and write text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from trm_cli.models.hesc.geometry import TEXT
from trm_cli.models.hesc.model import HescOutputs, MultimodalHesc
from trm_cli.models.hesc.q_control import Annealed


@dataclass(frozen=True)
class StepTrace:
    """One step of thinking, for people to look at; float32 on the model's device unless noted.

    answer int64 [B, T]; q_halt [B]: logit that the answer is right; maps [B, K, P]: where each capsule looks (sum 1
    over the patches, row by row); residual [B, K]: what each sketch has lost; opened bool [B, K]: whose children were
    visible; path_shares [B, paths] and gate [B] of the planner, or None; q [B, 3] and action int64 [B] by the order
    of Action.
    """

    answer: Tensor
    q_halt: Tensor
    maps: Tensor
    residual: Tensor
    opened: Tensor
    path_shares: Tensor | None
    gate: Tensor | None
    q: Tensor | None
    action: Tensor


def _trace(model: MultimodalHesc, outputs: HescOutputs) -> StepTrace:
    assert outputs.thought is not None and outputs.opened is not None and outputs.action is not None
    thought = outputs.thought
    return StepTrace(
        answer=model.answer(outputs),
        q_halt=outputs.q_halt,
        maps=thought.capsules.maps,
        residual=thought.capsules.residual,
        opened=outputs.opened,
        path_shares=None if thought.plan is None else thought.plan.shares,
        gate=None if thought.plan is None else thought.plan.gate,
        q=outputs.q,
        action=outputs.action,
    )


@torch.no_grad()
def think(
    model: MultimodalHesc, batch: Mapping[str, Tensor], values: Annealed | None = None
) -> tuple[list[StepTrace], HescOutputs]:
    """All steps of a batch as in evaluation, and the outputs of the last one."""
    carry, traces = model.initial_carry(batch), []
    for _ in range(model.halt_max_steps):
        carry, outputs = model.advance(carry, batch, values, None)
        traces.append(_trace(model, outputs))
    return traces, outputs


@torch.no_grad()
def write_text(
    model: MultimodalHesc,
    batch: Mapping[str, Tensor],
    values: Annealed,
    count: int,
    *,
    temperature: float = 0.0,
    draws: Tensor | None = None,
) -> Tensor:
    """Continue the text on the canvases by `count` tokens: int64 [B, count].

    temperature 0 takes the likeliest token; above it, draws uniform [B, count] choose. The end mark does not stop the
    loop: what follows it is for the caller to cut off. Raises ValueError where draws are missing.
    """
    if temperature > 0 and draws is None:
        raise ValueError("Sampling at a temperature needs draws.")
    rows = batch["canvas"].shape[0]
    written = torch.zeros(rows, count, dtype=torch.int32, device=batch["canvas"].device)
    kind = torch.full_like(batch["target_kind"], TEXT)
    asked = dict(batch) | {"target": written, "target_kind": kind}
    _, outputs = think(model, asked, values)
    assert outputs.thought is not None and outputs.opened is not None
    network, slots = model.network, outputs.thought.z_H.float()
    visible = network.working_set.visible(outputs.opened)
    for place in range(count):
        reading = network.decoder(slots, visible, written[:, : place + 1], kind)
        scores = network.scores(reading.hidden[:, -1:], kind)[:, 0]
        if temperature > 0 and draws is not None:
            law = (scores / temperature).softmax(-1).cumsum(-1)
            token = (draws[:, place, None] >= law).sum(-1).clamp_max(scores.shape[-1] - 1)
        else:
            token = scores.argmax(-1)
        written[:, place] = token.to(written.dtype)
    return written.long()
