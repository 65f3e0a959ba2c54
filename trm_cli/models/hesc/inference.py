"""Using a trained model: think a batch through, step by step, and write text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from trm_cli.models.hesc.geometry import TEXT
from trm_cli.models.hesc.model import HescOutputs, MultimodalHesc
from trm_cli.models.layers.sampling import Sampling


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
def think(model: MultimodalHesc, batch: Mapping[str, Tensor]) -> tuple[list[StepTrace], HescOutputs]:
    """All steps of a batch as in evaluation, and the outputs of the last one."""
    carry, traces = model.initial_carry(batch), []
    for _ in range(model.halt_max_steps):
        carry, outputs = model.advance(carry, batch)
        traces.append(_trace(model, outputs))
    return traces, outputs


def continue_text(
    model: MultimodalHesc,
    batch: Mapping[str, Tensor],
    count: int,
    sampling: Sampling,
    draws: Tensor | None = None,
    *,
    speakable: Tensor | None = None,
) -> Iterator[Tensor]:
    """Continue the text on the canvases by up to `count` tokens, each int64 [B] as soon as it is chosen.

    The canvases are thought about once, for all tokens. draws: uniform [B, count]; speakable bool [V]: what may be
    said. The end mark does not stop it: what follows is for the caller to cut off. Raises ValueError where draws are
    missing.
    """
    rows = batch["canvas"].shape[0]
    written = torch.zeros(rows, count, dtype=torch.int32, device=batch["canvas"].device)
    kind = torch.full_like(batch["target_kind"], TEXT)
    _, outputs = think(model, dict(batch) | {"target": written, "target_kind": kind})
    assert outputs.thought is not None and outputs.opened is not None
    network, slots = model.network, outputs.thought.slots.float()
    visible = network.working_set.visible(outputs.opened)
    for place in range(count):
        with torch.no_grad():
            reading = network.decoder(slots, visible, written[:, : place + 1], kind)
            scores = network.scores(reading.hidden[:, -1:], kind)[:, 0]
        if speakable is not None:
            scores = scores.masked_fill(~speakable, -torch.inf)
        token = sampling.choose(scores, None if draws is None else draws[:, place])
        written[:, place] = token.to(written.dtype)
        yield token


def write_text(
    model: MultimodalHesc,
    batch: Mapping[str, Tensor],
    count: int,
    *,
    temperature: float = 0.0,
    draws: Tensor | None = None,
) -> Tensor:
    """All `count` tokens of `continue_text` at once: int64 [B, count]."""
    return torch.stack(list(continue_text(model, batch, count, Sampling(temperature), draws)), 1)
