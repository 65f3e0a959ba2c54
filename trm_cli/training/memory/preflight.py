"""What an update takes of the device's memory, counted before the first one.

The update is carried out on tensors without contents: every size is the real one, no memory is taken, and nothing is
computed. (One that takes the processor less than torch takes to load the shapes of its operations is simply carried
out.) What the kernels need inside of one operation is not seen, and the kernels are those of
the CPU, which for attention in short bfloat16 sequences keep more than those of a CUDA card.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_iter

from trm_cli.config.schema import RunConfig
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.errors import TrmError
from trm_cli.schedule.plan import TrainingPlan
from trm_cli.training.gradients import Finite
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.hardware.resources import free_memory
from trm_cli.training.memory.ledger import Ledger, weighed, weightless
from trm_cli.training.run.build import make_model, make_state
from trm_cli.training.state import TrainingState
from trm_cli.training.step import StepSettings, update
from trm_cli.units import memory_size

#: Of the memory that is free; the rest is for what no estimate sees.
_COMFORTABLE = 0.85
#: Buffers inside of kernels and what the model of the heap does not see, as `python -m benchmarks.memory` shows them.
_KERNELS = 24 * 2**20
_UNSEEN = 0.05
_COMPILED_PRODUCT = 600 * 2**10
#: Rows of the batches that are carried out in place of one with more rows, in training and in evaluation.
_CARRIED_OUT = (8, 24)
_EVALUATED = (2, 6)
#: Width, and numbers of one state of all rows [B, L, D], up to which the processor takes less for an update than torch
#: takes to load the shapes of its operations.
_NARROW, _FEW = 128, 1 << 19


@dataclass(frozen=True)
class Task:
    """Whose memory is estimated. blank: a batch of that many rows, with the shapes of a real one.

    evaluated: rows of a batch of an evaluation, 0 where there is none. shards: processes among which weights, moments
    and average are divided.
    """

    config: RunConfig
    plan: TrainingPlan
    metadata: DatasetMetadata
    blank: Callable[[int], dict[str, np.ndarray]]
    machine: Machine
    evaluated: int
    shards: int = 1


@dataclass(frozen=True)
class Estimate:
    """Bytes at the moment when an update (or an evaluation) needs most. parts: by name, they add up to `total`."""

    parts: dict[str, int]
    micro_batch_size: int

    @property
    def total(self) -> int:
        """Everything together."""
        return sum(self.parts.values())


def estimate(task: Task, *, micro_batch_size: int | None = None) -> Estimate:
    """Carry an update and a step of an evaluation out without memory.

    micro_batch_size stands in for the one of the configuration. A large batch is not carried out: every part is a
    straight line in the rows, and two small batches tell where it leads. (A capsule model takes as long for any batch:
    it is not computed a few rows at a time.)
    """
    rows = task.config.global_batch_size
    size = min(rows, micro_batch_size or task.config.micro_batch_size or rows)
    if rows <= _CARRIED_OUT[1] or not task.config.arch.learns_row_by_row:
        return _carried_out(task, size)
    low, high = _CARRIED_OUT
    less, more = (_carried_out_by(few, task, size) for few in _CARRIED_OUT)
    slopes = {name: (more.parts[name] - less.parts[name]) / (high - low) for name in more.parts}
    parts = {name: max(0, round(more.parts[name] + slope * (rows - high))) for name, slope in slopes.items()}
    return Estimate(parts, size)


def _carried_out_by(few: int, task: Task, size: int) -> Estimate:
    """An update of `few` rows in as many slices, computed the way that so many more are."""
    rows = task.config.global_batch_size
    own = max(1, round(few * size / rows))
    return _carried_out(replace(task, config=task.config.model_copy(update={"global_batch_size": few})), own)


def _carried_out(task: Task, size: int) -> Estimate:
    """An update of all rows in slices of `size`, and a step of an evaluation."""
    rows = task.config.global_batch_size
    with weighed() if _is_small(task) else weightless() as ledger:
        state, parts = _built(task, ledger)
        batch = _tensors(task, rows)
        parts["batch"] = sum(_sizes(batch.values()))
        draws = torch.zeros(rows, int(state.model.draws_per_row))
        settings = StepSettings(rows, task.config.grad_clip, size, judge=_all_is_finite)

        def one_update() -> None:
            update(state, batch, draws, task.plan.values_at(1), settings)

        training = ledger.most_in(one_update)
        assert state.carry is not None
        # An update that is not finite can be inspected: what it started from stays until it has ended.
        parts["carry"] = 2 * sum(_sizes(tree_iter(state.carry.state_dict())))
        parts["activations"] = training - sum(parts.values())
        resident = ledger.heap.peak
        parts["evaluation"] = max(0, _evaluation(task, state, ledger) - training) if task.evaluated else 0
        # The holes of the host's heap; another device's allocator returns what it frees to its own pool.
        holes = resident - training if task.machine.device.value == "cpu" else 0
        kernels = _KERNELS + (_COMPILED_PRODUCT * len(ledger.products) if task.machine.device.value == "cpu" else 0)
        parts["allocator"] = holes + kernels + int(_UNSEEN * (training + holes))
    return Estimate(_divided(parts, task.shards) if task.shards > 1 else parts, size)


def _is_small(task: Task) -> bool:
    """Whether carrying the update out for real takes the processor less than doing it without contents."""
    rows, width = task.config.global_batch_size, task.config.arch.hidden_size
    few = rows * task.metadata.seq_len * width <= _FEW
    return few and width <= _NARROW and task.machine.device.value == "cpu"


def _divided(parts: dict[str, int], shards: int) -> dict[str, int]:
    """The same in one of several processes: its part of all that is kept, and whole weights and gradients meanwhile."""
    share = parts["gradients"] // shards
    return {
        **parts,
        "weights": parts["weights"] + share,
        "gradients": parts["gradients"] + share,
        "optimizer": parts["optimizer"] // shards,
        "average": parts["average"] // shards,
    }


def _built(task: Task, ledger: Ledger) -> tuple[TrainingState, dict[str, int]]:
    """Model and state, and what they hold."""
    machine = task.machine
    arch = task.config.arch
    if arch.family != "transformer":
        # Further outer cycles without a gradient need what the first one needs: they only take time.
        arch = arch.model_copy(update={"H_cycles": min(2, getattr(arch, "H_cycles", 1))})
    config = task.config.model_copy(update={"arch": arch})
    model = make_model(config, task.metadata, machine.precision.value)
    if task.config.activation_checkpointing:
        model.recompute_activations()
    table = model.puzzle_embedding
    if table is not None:
        table.weight.requires_grad_(False)  # its gradient has the rows of the batch alone
    weights = ledger.live
    state = make_state(task.config, model, machine)
    state.puzzle_optimizer = state.scaler = None  # both look at values
    trunk = list(model.trunk_parameters())
    average = ledger.live - weights
    for group in state.trunk_optimizer.param_groups:
        group["fused"] = False  # the kernel that takes no memory of its own takes no tensors without contents either
    # The first step of an optimizer makes its state, which is there in every later update.
    for parameter in trunk:
        parameter.grad = torch.zeros_like(parameter)
    state.trunk_optimizer.step()
    state.trunk_optimizer.zero_grad()
    width = 0 if machine.precision.value == "float32" else 2
    return state, {
        "weights": weights,
        "half-precision copies": sum(width * parameter.numel() for parameter in trunk),
        "gradients": sum(_sizes(trunk)),
        "optimizer": ledger.live - weights - average,
        "average": average,
    }


def _all_is_finite(_loss: Tensor, _norms: Tensor) -> Finite:
    """The judgement of numbers that are not there."""
    return Finite(True, True)


def _evaluation(task: Task, state: TrainingState, ledger: Ledger) -> int:
    """The peak of a step of an evaluation, told from two small batches."""
    (low, high), rows = _EVALUATED, task.evaluated
    less, more = (ledger.most_in(partial(_evaluate, task, state, few)) for few in _EVALUATED)
    return more + (more - less) * (rows - high) // (high - low)


def _evaluate(task: Task, state: TrainingState, rows: int) -> None:
    batch = _tensors(task, rows)
    with torch.inference_mode(), ExitStack() as stack:
        if state.ema is not None:
            stack.enter_context(state.ema.swapped(state.model))
        state.model.eval()
        carry = state.model.initial_carry(batch)
        state.model.advance(carry, batch)


def _tensors(task: Task, rows: int) -> dict[str, Tensor]:
    one = {name: torch.from_numpy(array) for name, array in task.blank(1).items()}
    # Zeros, not whatever memory holds: where the update is carried out for real they are identifiers and colours.
    return {name: torch.zeros((rows, *row.shape[1:]), dtype=row.dtype) for name, row in one.items()}


def _sizes(values: Iterable[Any]) -> Iterable[int]:
    return (value.nbytes for value in values if isinstance(value, Tensor))


@dataclass(frozen=True)
class Preflight:
    """An estimate beside what is free (None: unknown)."""

    task: Task
    needed: Estimate
    free: int | None

    @classmethod
    def of(cls, task: Task, needed: Estimate, *, neighbours: int = 1) -> Preflight:
        """Look what is free; `neighbours` processes of the run share the memory of a processor."""
        free = free_memory(task.machine.torch_device)
        return cls(
            task, needed, free // neighbours if free is not None and task.machine.device.value == "cpu" else free
        )

    @property
    def fits(self) -> bool:
        """Whether the estimate stays below what is free."""
        return self.free is None or self.needed.total <= self.free

    @property
    def tight(self) -> bool:
        """Whether little is left for what no estimate sees."""
        return self.free is not None and self.needed.total > _COMFORTABLE * self.free

    def advice(self, *, refused: bool = False) -> str:
        """What fits, by the estimate; memory grows with the rows at once in a straight line.

        refused: the device has had no room although the estimate said so; then it is too low by that much at least,
        and half of the rows at most are advised.
        """
        assert self.free is not None
        size = self.needed.micro_batch_size
        smaller = max(1, size // 4)
        less = estimate(self.task, micro_batch_size=smaller)
        slope = (self.needed.total - less.total) / max(1, size - smaller)
        short = self.needed.total - _COMFORTABLE * min(self.free, self.needed.total)
        rows = int(size - short / slope) if slope > 0 else 0
        if refused and self.fits:
            rows = max(1, min(rows, size // 2))
        also = "" if self.task.config.activation_checkpointing else ", or activation_checkpointing=true"
        if 1 <= rows < size:
            return f"micro_batch_size={rows} fits by the estimate and {self._learns()}{also}"
        return f"not even one row at a time fits: choose a smaller arch.hidden_size or global_batch_size{also}"

    def _learns(self) -> str:
        """What computing an update in slices means for what is learned."""
        if not self.task.config.arch.learns_row_by_row:
            return "learns nearly the same (replay, concepts and memory move slice by slice)"
        return "learns the same"

    def too_large(self, error: RuntimeError | None = None) -> TrmError:
        """The one message of a run that needs more than there is; `error` is what the device said."""
        device = self.task.machine.device.value
        free = "an unknown amount" if self.free is None else memory_size(self.free)
        said = "" if error is None else f"; {device} said: {str(error).splitlines()[0][:160]}"
        return TrmError(
            f"an update of {self.needed.micro_batch_size} rows at once needs about {memory_size(self.needed.total)}, "
            f"{free} is free on {device}{said}",
            hint=None if self.free is None else self.advice(refused=error is not None),
        )


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device or the host's allocator refused."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
