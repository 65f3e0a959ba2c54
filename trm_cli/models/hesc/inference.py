"""Use a trained network: watch its capsules, and let it write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from trm_cli.models.capsule_network import CapsuleStep, CapsuleTrace
from trm_cli.models.hesc.kinds import PAD, START, Kind
from trm_cli.models.hesc.passes import HescOutputs
from trm_cli.models.layers.losses import IGNORED_LABEL
from trm_cli.models.layers.sampling import Sampling
from trm_cli.models.network import Network
from trm_cli.models.thinking import think


def trace(model: Network, batch: Mapping[str, Tensor], grid: tuple[int, int]) -> CapsuleTrace:
    """All steps of an evaluation of rows of one kind; grid: rows and columns of capsules."""
    steps = []
    for step in think(model, batch):
        outputs = step.outputs
        assert isinstance(outputs, HescOutputs) and outputs.thought is not None
        assert outputs.action is not None and outputs.opened is not None
        part = outputs.thought.parts[0]
        steps.append(
            CapsuleStep(
                answer=model.answer(outputs),
                q_halt=outputs.q_halt,
                maps=part.maps,
                residual=None if part.detail is None else outputs.thought.residual,
                opened=outputs.opened,
                path_shares=None if part.plan is None else part.plan.shares,
                q=outputs.q,
                action=outputs.action,
            )
        )
    return CapsuleTrace(grid=grid, steps=tuple(steps))


def continue_text(
    model: Network,
    prompt: Sequence[int],
    count: int,
    window: int,
    sampling: Sampling,
    draws: Tensor | None = None,
    *,
    speakable: Tensor | None = None,
) -> Iterator[int]:
    """Continue a text of tokens by up to `count`, each yielded as soon as it is chosen; the end mark does not stop it.

    window: places of a text in training; of a longer one the last half of a window is kept, then it grows again. draws:
    uniform [count]; speakable bool [V]: what may be said. Raises ValueError where draws are missing.
    """
    device, written = model.device, [START, *prompt]
    for number in range(count):
        if len(written) > window:
            written = written[-(window - window // 2) :]
        text = torch.full((1, window), PAD, dtype=torch.int32, device=device)
        text[0, : len(written)] = torch.tensor(written, device=device)
        target = torch.full((1, model.seq_len), IGNORED_LABEL, dtype=torch.int32, device=device)
        # Asked for at the last place alone: what lies beyond it is not computed.
        target[0, len(written) - 1] = PAD
        kind = torch.full((1,), int(Kind.TEXT), dtype=torch.int32, device=device)
        batch = {"kind": kind, "text": text, "target": target, "puzzle_identifiers": torch.zeros_like(kind)}
        for step in think(model, batch, policy="bce"):
            scores = step.outputs.logits[:, len(written) - 1].float()
        if speakable is not None:
            scores = scores.masked_fill(~speakable, -torch.inf)
        token = int(sampling.choose(scores, None if draws is None else draws[number : number + 1]))
        written.append(token)
        yield token
