"""One update: forward over the carry, backward, clip, step the optimizers, move the EMA."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from trm_cli.models.layers.carry import Carry, join_carries
from trm_cli.models.layers.outputs import StepResult
from trm_cli.schedule.clock import Clock
from trm_cli.training.distributed.full_state import total_sums
from trm_cli.training.distributed.gradient_sum import reduce_gradients
from trm_cli.training.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from trm_cli.training.gradients import Finite, agreed, clip_gradients, finite, gradient_norms
from trm_cli.training.state import TrainingState


def _untimed(phase: str) -> None:
    """Ignore the phases of an update, where nothing is profiled."""


#: At this scale float16 gradients overflow although nothing was multiplied: lowering it further cannot help.
_SMALLEST_SCALE = 1.0


class StepSettings(NamedTuple):
    """What an update needs from the configuration.

    micro_batch_size: rows that a process computes at once, None = all of its. enter_phase: called with the name of
    each phase (forward, backward, optimizer) as it begins.
    """

    global_batch_size: int
    grad_clip: float | None
    micro_batch_size: int | None = None
    process_group: ProcessGroup = SINGLE_PROCESS
    enter_phase: Callable[[str], None] = _untimed


class Skipped(NamedTuple):
    """An update that changed no weight because its numbers were not finite. before: the carry that it started from.

    fault: nothing that a smaller scale of float16 gradients could mend.
    """

    reason: str
    before: Carry
    fault: bool


class _Computed(NamedTuple):
    """Forward and backward of all rows, from the carry `before` to `carry`.

    sums: by the name under which `drain` finds them; unsound: bool [B].
    """

    before: Carry
    carry: Carry
    sums: dict[str, Tensor]
    unsound: Tensor


def update(
    state: TrainingState, batch: dict[str, Tensor], draws: Tensor, clock: Clock[float], settings: StepSettings
) -> Skipped | None:
    """Advance `state` by one update; returns why no weight changed where its numbers were not finite.

    batch: the rows of this process, which fill halted slots. draws: uniform numbers [B, K] that stand for all
    randomness of this step.
    clock: the scheduled values of this step. The optimizers read the exact numbers, the network 0-dim tensors on the
    device, so that a compiled graph is never rebuilt.

    A skipped update still counts as one, so that the schedule does not shift. Where loss or states were not finite, the
    rows at fault start anew. A float16 gradient that overflowed at a scale that can still fall is no fault: nothing
    but the scale changes.
    """
    state.model.train()
    if state.carry is None:
        state.carry = state.model.initial_carry(batch)
    computed = _compute(state, batch, draws, on_device(clock, draws.device), settings)
    reduce_gradients(state.trunk_parameters(), state.table, settings.process_group)
    settings.enter_phase("optimizer")
    norms = _norms(state, settings.process_group)
    verdict = agreed(finite(computed.sums["loss/loss"], _with_table(state, norms)), settings.process_group)
    state.carry = computed.carry
    _accumulate(state.sums, "updates", torch.ones((), device=norms.device))
    if verdict.loss:
        _accumulate(state.sums, "scored", torch.ones((), device=norms.device))
        for name, value in computed.sums.items():
            _accumulate(state.sums, name, value)
    skipped = None
    if verdict.loss and verdict.gradients:
        _apply(state, norms, clock, settings.grad_clip)
    else:
        skipped = _skip(state, computed, norms, verdict, settings.process_group)
    state.trunk_optimizer.zero_grad(set_to_none=True)
    if state.puzzle_optimizer is not None:
        state.puzzle_optimizer.zero_grad()
    return skipped


def on_device(clock: Clock[float], device: torch.device) -> Clock[Tensor]:
    """The clock as 0-dim float32 tensors: one copy to the device, then views."""
    numbers = torch.tensor(clock.numbers(), dtype=torch.float32).to(device, non_blocking=True)
    return Clock(*numbers.unbind())


def _compute(
    state: TrainingState, batch: dict[str, Tensor], draws: Tensor, clock: Clock[Tensor], settings: StepSettings
) -> _Computed:
    """Forward and backward, slice by slice; gradients add up in the parameters."""
    assert state.carry is not None
    carries, unsound = [], []
    sums: dict[str, Tensor] = {}
    for rows in _slices(draws.shape[0], settings.micro_batch_size):
        part = {name: value[rows] for name, value in batch.items()}
        settings.enter_phase("forward")
        result: StepResult = state.model(state.carry.rows(rows), part, clock, draws[rows])
        loss = result.loss / settings.global_batch_size
        settings.enter_phase("backward")
        (loss if state.scaler is None else state.scaler.scale(loss)).backward()
        carries.append(result.carry)
        unsound.append(_unsound(result))
        for name, value in _sums(result).items():
            _accumulate(sums, name, value)
        del result, loss  # before the next slice is computed: it holds the logits
    return _Computed(state.carry, join_carries(carries), sums, torch.cat(unsound))


def _slices(rows: int, size: int | None) -> Iterator[slice]:
    size = size or rows
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def _unsound(result: StepResult) -> Tensor:
    """Rows whose answer is not finite, bool [B]: what is wrong with a state shows there."""
    outputs = result.outputs
    total = outputs.logits.detach().flatten(1).sum(1, dtype=torch.float32) + outputs.q_halt.detach()
    return ~total.isfinite()


def _sums(result: StepResult) -> dict[str, Tensor]:
    terms = {f"loss/{name}": value for name, value in result.terms.items()}
    metrics = {f"{group}/{name}": value for group, values in result.metrics.items() for name, value in values.items()}
    return {"loss/loss": result.loss, **terms, **metrics}


def _norms(state: TrainingState, process_group: ProcessGroup) -> Tensor:
    """The norms of the unscaled gradients, [G]."""
    if state.scaler is not None:
        state.scaler.unscale_(state.trunk_optimizer)
    return gradient_norms(state.groups, process_group)


def _with_table(state: TrainingState, norms: Tensor) -> Tensor:
    """The norms and, where there is a puzzle table, one more number that is not finite where its gradient is not."""
    gradient = None if state.puzzle_optimizer is None else state.puzzle_optimizer.table.grad
    if gradient is None:
        return norms
    entries = gradient._values() if gradient.is_sparse else gradient  # coalescing would wait for the device
    return torch.cat((norms, torch.linalg.vector_norm(entries)[None].to(norms.dtype)))


def _apply(state: TrainingState, norms: Tensor, clock: Clock[float], grad_clip: float | None) -> None:
    """One step of each optimizer with the learning rates of the clock, then of the average."""
    if grad_clip is not None:
        clip_gradients(state.groups, norms, grad_clip)
    optimizer = state.trunk_optimizer
    for group in optimizer.param_groups:
        group["lr"] = clock.lr
    optimizer.step()
    if state.scaler is not None:
        state.scaler.update()
    if state.puzzle_optimizer is not None:
        # The sign of a gradient does not depend on its scale, so it needs no unscaling.
        state.puzzle_optimizer.step(lr=clock.puzzle_emb_lr)
    if state.ema is not None:
        state.ema.update()
    state.skipped_in_a_row = 0
    _accumulate(state.sums, "applied", torch.ones((), device=norms.device))
    for name, norm in zip(state.groups, norms.unbind(), strict=True):
        label = "grad_norm" if len(state.groups) == 1 else f"grad_norm_{name}"
        _accumulate(state.sums, f"applied/{label}", norm)


def _skip(
    state: TrainingState, computed: _Computed, norms: Tensor, verdict: Finite, process_group: ProcessGroup
) -> Skipped:
    """Leave weights, moments and average as they are; a scale that can fall falls, everything else is a fault."""
    state.skipped += 1
    parts = [name for name, norm in zip(state.groups, norms.tolist(), strict=True) if not math.isfinite(norm)]
    reason = f"the gradient of {', '.join(parts) or 'the puzzle table'} is not finite"
    if state.scaler is not None:
        scale = state.scaler.get_scale()
        # A loss that is not finite says nothing about the scale of the gradients.
        lower = scale * state.scaler.get_backoff_factor() if verdict.loss else scale
        _set_scale(state.scaler, lower, overflowed=verdict.loss)
        if verdict.loss and scale > _SMALLEST_SCALE:
            reason += f" in float16 at scale {scale:g}, which falls to {lower:g}"
            return Skipped(reason, computed.before, fault=False)
        reason += f" although nothing scales it up (scale {scale:g})"
    state.carry = computed.carry.restarted(computed.unsound | computed.carry.unsound())
    state.skipped_in_a_row += 1
    if not verdict.loss:
        reason = f"the loss is {process_group.total([float(computed.sums['loss/loss'])])[0]}"
    return Skipped(reason, computed.before, fault=True)


def _set_scale(scaler: torch.amp.GradScaler, scale: float, *, overflowed: bool) -> None:
    """The scale of the next update: the scaler saw the trunk's gradients alone, and not those of the puzzle table."""
    scaler.update(scale)
    if overflowed:  # it grows again after so many updates without one
        scaler.load_state_dict({**scaler.state_dict(), "_growth_tracker": 0})


class Averaged(NamedTuple):
    """Metrics averaged over the updates since the last record."""

    means: dict[str, float | None]
    updates: int


def drain(state: TrainingState, global_batch_size: int, process_group: ProcessGroup = SINGLE_PROCESS) -> Averaged:
    """Turn the sums since the last record, over all processes, into means and start new sums.

    Losses are per row of the batch, over the updates with a finite loss; metrics of a group of rows are over the rows
    of that group, and the name of the group is how many these were per update; norms are over the updates that changed
    the weights. None where there is nothing to average. `skipped` counts the updates that changed no weight.
    """
    names = list(state.sums)
    numbers = torch.stack([state.sums[name].double() for name in names]).tolist()
    state.sums = {}
    sums = total_sums(dict(zip(names, numbers, strict=True)), process_group)
    updates, scored, applied = (int(sums.pop(name, 0)) for name in ("updates", "scored", "applied"))
    means: dict[str, float | None] = {"halted": None, "loss": None, "skipped": updates - applied}
    share: dict[str, float] = {"loss": scored * global_batch_size, "applied": applied}
    for group, count in [(name.removesuffix("/count"), sums.pop(name)) for name in names if name.endswith("/count")]:
        share[group], means[group] = count, _mean(count, scored)
    for name, value in sums.items():
        group, _, metric = name.partition("/")
        means[metric] = _mean(value, share[group])
    return Averaged(means, updates)


def _mean(total: float, count: float) -> float | None:
    return total / count if count else None


def _accumulate(sums: dict[str, Tensor], name: str, value: Tensor) -> None:
    value = value.detach().float()
    sums[name] = sums[name] + value if name in sums else value
