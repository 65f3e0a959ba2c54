"""One update: forward over the carry, backward, clip, step the optimizers, move the EMA.

Nothing here waits for a device: what depends on whether an update's numbers are finite is decided there, and the host
reads the check when the passes of the next update are under way. On the CPU it is read at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trm_cli.models.network import StepClock
from trm_cli.models.supervision.carry import Carry, join_carries
from trm_cli.models.supervision.outputs import StepResult
from trm_cli.schedule.clock import Clock
from trm_cli.training.distributed.gradient_sum import GradientSum
from trm_cli.training.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from trm_cli.training.gradients import clip_gradients, finite, gradient_norms
from trm_cli.training.hardware.async_host_copy import AsyncHostCopy
from trm_cli.training.state.loss_scale import SMALLEST_SCALE
from trm_cli.training.state.sums import RunningSums, stacked
from trm_cli.training.state.training_state import TrainingState
from trm_cli.training.state.update_check import UpdateCheck


class Skipped(NamedTuple):
    """An update that changed no weight because its numbers were not finite.

    before, batch, draws: what it was computed from. fault: no smaller scale of float16 gradients could mend it.
    """

    step: int
    reason: str
    before: Carry
    batch: dict[str, Tensor]
    draws: Tensor
    fault: bool


def _untimed(phase: str) -> None:
    """Ignore the phases of an update, where nothing is profiled."""


def _unheard(skipped: Skipped) -> None:
    """Ignore skipped updates."""


class StepSettings(NamedTuple):
    """What an update needs from the configuration.

    micro_batch_size: rows that a process computes at once, None = all of its. enter_phase: called with the name of
    each phase (forward, backward, optimizer) as it begins. read_later: the check of an update is read in the next one
    (or by `settle`), where reading it is a wait. on_skip: called with each skipped update when its check is read;
    what it raises ends the update before it changes a weight. keep_gradients: gradients stay where they are and are
    zeroed, since those that come from a CUDA graph lie where its next replay writes. gradient_sum: sums them over the
    processes of the group; needed where there are several.
    """

    global_batch_size: int
    grad_clip: float | None
    micro_batch_size: int | None = None
    process_group: ProcessGroup = SINGLE_PROCESS
    enter_phase: Callable[[str], None] = _untimed
    read_later: bool = False
    on_skip: Callable[[Skipped], None] = _unheard
    keep_gradients: bool = False
    gradient_sum: GradientSum | None = None


class _Computed(NamedTuple):
    """Forward and backward of all rows, from the carry `before` to `carry`.

    names, sums [M]: of loss, terms and metrics, under which `drain` finds them; unsound: bool [B], whose answer is not
    finite; halted: on its way to the host, where the update is read later.
    """

    before: Carry
    carry: Carry
    names: tuple[str, ...]
    sums: Tensor
    unsound: Tensor
    halted: tuple[AsyncHostCopy, ...] | None


def update(
    state: TrainingState,
    batch: dict[str, Tensor],
    draws: Tensor,
    clock: Clock[float],
    settings: StepSettings,
    scheduled: StepClock | None = None,
    layouts: Sequence[Any] | None = None,
) -> Skipped | None:
    """Advance `state` by one update; returns why no weight changed where its numbers were not finite, if read already.

    batch: the rows of this process, which fill halted slots. draws: uniform numbers [B, K] that stand for all
    randomness of this step.
    clock: the scheduled values of this step. The optimizers read the exact numbers, the network 0-dim tensors on the
    device (`scheduled`, made here by default), so that a compiled graph is never rebuilt.
    layouts: precomputed shapes of each micro-batch; None where shapes may be read from the tensors (`batch_transfer`).

    A skipped update still counts as one, so that the schedule does not shift. Rows whose answers or states are not
    finite start anew. A float16 gradient that overflowed at a scale that can still fall is no fault.
    """
    state.model.train()
    if state.carry is None:
        state.carry = state.model.initial_carry(batch)
    if settings.keep_gradients:
        _make_gradients(state)
    computed = _compute(state, batch, draws, scheduled or on_device(clock, draws.device), settings, layouts)
    sums = settings.gradient_sum
    assert sums is not None or settings.process_group.count == 1, "gradients of several processes are summed"
    finite_losses = None if sums is None else sums.finish()
    settings.enter_phase("optimizer")
    settle(state, settings)  # the update before, whose check has arrived by now
    norms = _norms(state, settings.process_group)
    later = settings.read_later and _has_moments(state)
    sound = _all_finite(state, computed, norms, finite_losses)
    scale = norms.new_ones(()) if state.scaler is None else state.scaler.current()
    state.update_check = check = UpdateCheck.of(
        state.step + 1, sound, (computed.sums[0], scale, norms), (computed.before, batch, draws), counted=later
    )
    state.carry, state.halted = computed.carry, computed.halted
    _add_up(state, computed, norms, check)
    skipped = None if later else settle(state, settings)
    if skipped is None:
        _apply(state, norms, clock, settings.grad_clip, sound.all() if later else None)
    if not settings.read_later and (skipped is not None or bool(computed.unsound.any())):
        state.carry = computed.carry.restarted(computed.unsound | computed.carry.unsound())
    if state.scaler is not None:
        state.scaler.judge(check.loss, check.gradients)
    _clear_gradients(state, keep=settings.keep_gradients)
    return skipped


def settle(state: TrainingState, settings: StepSettings) -> Skipped | None:
    """Read the check of the last update, unless it has been: count it, and call `on_skip` where it was skipped.

    To be called before the state is saved or evaluated.
    """
    check, state.update_check = state.update_check, None
    if check is None:
        return None
    found = check.read()
    if found.loss_is_finite and found.gradients_are_finite:
        state.skipped_in_a_row = 0
        return None
    if check.counted:
        state.trunk_optimizer.take_back()
    state.skipped += 1
    parts = [name for name, norm in zip(state.groups, found.norms, strict=True) if not math.isfinite(norm)]
    reason = f"the gradient of {', '.join(parts) or 'the puzzle table'} is not finite"
    fault = True
    if not found.loss_is_finite:
        reason = f"the loss is {settings.process_group.total([found.loss])[0]}"
    elif state.scaler is not None and found.scale > SMALLEST_SCALE:
        lower = found.scale * state.scaler.get_backoff_factor()
        reason += f" in float16 at scale {found.scale:g}, which falls to {lower:g}"
        fault = False
    elif state.scaler is not None:
        reason += f" although nothing scales it up (scale {found.scale:g})"
    state.skipped_in_a_row += fault
    skipped = Skipped(check.step, reason, check.before, check.batch, check.draws, fault)
    settings.on_skip(skipped)
    return skipped


def _all_finite(state: TrainingState, computed: _Computed, norms: Tensor, finite_losses: Tensor | None) -> Tensor:
    """Whether the loss and the gradients are finite, bool [2] on the device. finite_losses: those of all processes."""
    sound = finite(computed.sums[0], _with_table(state, norms))
    if finite_losses is None:
        return sound
    # Gradients are the same in all processes, losses are those of their rows.
    return torch.stack((finite_losses, sound[1]))


def _clear_gradients(state: TrainingState, *, keep: bool) -> None:
    """Forget the gradients of an update. keep: their memory stays, set to zero."""
    state.trunk_optimizer.zero_grad(set_to_none=not keep)
    if state.puzzle_optimizer is not None:
        state.puzzle_optimizer.zero_grad()


def on_device(clock: Clock[float], device: torch.device) -> StepClock:
    """The clock as 0-dim float32 tensors: one copy to the device, then views."""
    return clock.on_device(torch.tensor(clock.numbers(), dtype=torch.float32, device=device).unbind())


def _compute(
    state: TrainingState,
    batch: dict[str, Tensor],
    draws: Tensor,
    clock: StepClock,
    settings: StepSettings,
    layouts: Sequence[Any] | None,
) -> _Computed:
    """Forward and backward, slice by slice; gradients add up in the parameters."""
    assert state.carry is not None
    carries, unsound, halted = [], [], []
    sums = RunningSums()
    parts = list(slices(draws.shape[0], settings.micro_batch_size))
    bad_loss = torch.zeros((), dtype=torch.bool, device=draws.device)
    for number, rows in enumerate(parts):
        part = {name: value[rows] for name, value in batch.items()}
        settings.enter_phase("forward")
        layout = None if layouts is None else layouts[number]
        result: StepResult = state.model(state.carry.rows(rows), part, clock, draws[rows], layout)
        carry, faulty = result.carry, _unsound(result)
        if settings.read_later:
            carry = carry.restarted(faulty | carry.unsound())
            halted.append(AsyncHostCopy.of(carry.halted))  # it arrives while the backward pass is under way
        loss = result.loss / settings.global_batch_size
        if settings.gradient_sum is not None:
            bad_loss = bad_loss | ~result.loss.detach().isfinite()
            if number == len(parts) - 1:
                settings.gradient_sum.expect(bad_loss)
        settings.enter_phase("backward")
        (loss if state.scaler is None else state.scaler.scale(loss)).backward()
        carries.append(carry)
        unsound.append(faulty)
        found = _sums(result)
        sums.add(tuple(found), stacked(tuple(found.values())))
        del result, loss, found  # before the next slice is computed: it holds the logits
    copies = tuple(halted) if settings.read_later else None
    return _Computed(state.carry, join_carries(carries), sums.names, sums.vector(), torch.cat(unsound), copies)


def _make_gradients(state: TrainingState) -> None:
    for parameter in state.trunk_parameters():
        if parameter.grad is None and parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)


def slices(rows: int, size: int | None) -> Iterator[slice]:
    """The rows that are computed at once, `size` of them or fewer."""
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


def _has_moments(state: TrainingState) -> bool:
    """Whether this update makes no new moments, which could not be taken back."""
    known = state.trunk_optimizer.state
    return not state.sharded and all(p in known for p in state.trunk_parameters() if p.grad is not None)


def _apply(
    state: TrainingState, norms: Tensor, clock: Clock[float], grad_clip: float | None, where: Tensor | None
) -> None:
    """One step of each optimizer with the learning rates of the clock, then of the average.

    where: 0-dim bool on the device; where it is false nothing changes.
    """
    if grad_clip is not None:
        clip_gradients(state.groups, norms, grad_clip)
    optimizer = state.trunk_optimizer
    for group in optimizer.param_groups:
        group["lr"] = clock.lr
    optimizer.step_where(where)
    if state.puzzle_optimizer is not None:
        # The sign of a gradient does not depend on its scale, so it needs no unscaling.
        state.puzzle_optimizer.step(clock.puzzle_emb_lr, where)
    if state.ema is not None:
        state.ema.update(where, begun=clock.averaging >= 1)


def _add_up(state: TrainingState, computed: _Computed, norms: Tensor, check: UpdateCheck) -> None:
    """Add the metrics of an update to the sums: of a finite loss, and norms of an update that changes the weights."""
    labels = ["grad_norm"] if len(state.groups) == 1 else [f"grad_norm_{name}" for name in state.groups]
    names = ("updates", "scored", *computed.names, "applied", *(f"applied/{label}" for label in labels))
    one = torch.ones(1, device=norms.device)
    scored = torch.where(check.loss, torch.cat((one, computed.sums)), 0.0)
    applied = torch.where(check.loss & check.gradients, torch.cat((one, norms.detach().float())), 0.0)
    state.sums.add(names, torch.cat((one, scored, applied)))
