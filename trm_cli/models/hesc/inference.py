"""Run a trained model: trace a batch step by step, and generate text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from trm_cli.models.canvas_network import CapsuleStep, CapsuleTrace
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.geometry import TEXT
from trm_cli.models.hesc.network import HescNetwork, HescOutputs
from trm_cli.models.layers.outputs import Outputs
from trm_cli.models.layers.sampling import Sampling
from trm_cli.models.network import Network
from trm_cli.models.thinking import think


def _step(model: Network, config: HescConfig, outputs: Outputs) -> CapsuleStep:
    assert isinstance(outputs, HescOutputs) and outputs.thought is not None
    assert outputs.opened is not None and outputs.action is not None
    thought = outputs.thought
    return CapsuleStep(
        answer=model.answer(outputs),
        q_halt=outputs.q_halt,
        maps=thought.capsules.maps,
        residual=thought.capsules.residual if config.enable_expansion else None,
        opened=outputs.opened,
        path_shares=None if thought.plan is None else thought.plan.shares,
        gate=None if thought.plan is None else thought.plan.gate,
        q=outputs.q,
        action=outputs.action,
    )


@torch.no_grad()
def trace(model: Network, network: HescNetwork, batch: Mapping[str, Tensor]) -> CapsuleTrace:
    """See `CanvasNetwork`."""
    config = network.config
    return CapsuleTrace(
        pixels=network.rasteriser(batch["canvas_kind"], batch["canvas"], batch.get("picture")),
        grid=(config.capsule_rows, config.capsule_columns),
        patches_per_side=config.geometry.patches_per_side,
        steps=tuple(_step(model, config, step.outputs) for step in think(model, batch)),
    )


def continue_text(
    model: Network,
    network: HescNetwork,
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
    for step in think(model, dict(batch) | {"target": written, "target_kind": kind}):
        outputs = step.outputs
    assert isinstance(outputs, HescOutputs) and outputs.thought is not None and outputs.opened is not None
    slots = outputs.thought.slots.float()
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
