"""One update: forward over the carry, backward, clip, step the optimizers, move the EMA."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from trm_cli.errors import TrmError
from trm_cli.training.state import TrainingState


class StepSettings(NamedTuple):
    """What an update needs from the configuration."""

    global_batch_size: int
    grad_clip: float | None


def update(
    state: TrainingState,
    batch: dict[str, Tensor],
    draws: Tensor,
    values: Mapping[str, float],
    clock: tuple[Tensor, ...],
    settings: StepSettings,
) -> None:
    """Advance `state` by one update.

    batch: the rows that fill halted slots. draws: uniform numbers [B, K] that stand for all randomness of this step.
    values: the clock as exact numbers (the optimizers read the learning rates); clock: the same as a named tuple of 0-dim
    tensors on the device (the model reads those, so that a compiled graph is never rebuilt).
    """
    model = state.model
    model.train()
    if state.carry is None:
        state.carry = model.initial_carry(batch)  # type: ignore[operator]
    result = model(state.carry, batch, clock, draws)
    (result.loss / settings.global_batch_size).backward()
    groups = state.trunk_optimizer.param_groups
    if settings.grad_clip is not None:
        torch.nn.utils.clip_grad_norm_(
            [parameter for group in groups for parameter in group["params"]], settings.grad_clip
        )
    for group in groups:
        group["lr"] = values["lr"]
    state.trunk_optimizer.step()
    state.trunk_optimizer.zero_grad(set_to_none=True)
    if state.puzzle_optimizer is not None:
        state.puzzle_optimizer.step(lr=values["puzzle_emb_lr"])
        state.puzzle_optimizer.zero_grad()
    if state.ema is not None:
        state.ema.update()
    state.carry = result.carry
    _accumulate(state.sums, "updates", torch.ones((), device=result.loss.device))
    _accumulate(state.sums, "loss/loss", result.loss)
    for name, value in result.terms.items():
        _accumulate(state.sums, f"loss/{name}", value)
    for name, value in result.metrics.items():
        _accumulate(state.sums, f"halted/{name}", value)


class Averaged(NamedTuple):
    """Metrics averaged over the updates since the last record."""

    means: dict[str, float | None]
    updates: int


def drain(state: TrainingState, global_batch_size: int) -> Averaged:
    """Turn the sums since the last record into means and start new sums.

    Losses are per row of the batch; accuracies are over the rows that halted (None where none did).
    Raises TrmError when the loss is not finite: every later number would be meaningless.
    """
    names = list(state.sums)
    numbers = torch.stack([state.sums[name].double() for name in names]).tolist()
    state.sums = {}
    sums = dict(zip(names, numbers, strict=True))
    updates = int(sums.pop("updates"))
    count = sums.pop("halted/count", 0.0)
    means: dict[str, float | None] = {"halted": count / updates}
    for name, value in sums.items():
        kind, _, metric = name.partition("/")
        if kind == "halted":
            means[metric] = value / count if count else None
        else:
            means[metric] = value / (updates * global_batch_size)
    loss = means["loss"]
    if loss is None or not math.isfinite(loss):
        raise TrmError(
            f"the loss is {loss} after update {state.step:,}; training stops before it damages a checkpoint",
            hint="continue from the last checkpoint with a smaller lr, grad_clip=1.0, or precision=float32",
        )
    return Averaged(means, updates)


def _accumulate(sums: dict[str, Tensor], name: str, value: Tensor) -> None:
    value = value.detach().float()
    sums[name] = sums[name] + value if name in sums else value
