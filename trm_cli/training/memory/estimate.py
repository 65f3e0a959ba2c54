"""Estimate the memory that training needs from one update and one evaluation step on a few rows.

It counts tensors, and not what kernels and allocators take beside them: a process on a CPU occupied 1.05 to 1.85 times
as much. What it misses, the first real update finds out (`check`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from trm_cli.config.schema import RunConfig
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.models.measuring import fused_attention
from trm_cli.models.network import Network
from trm_cli.schedule.clock import SETTLED
from trm_cli.training.run.build import blank_batch, make_model

#: Rows of the two batches that are measured; what any other number needs lies on the line through them.
_FEW, _MORE = 2, 4
#: Positions times width up to which the batches are really computed on a CPU. The meta device computes nothing, but
#: torch loads its compiler to find the shapes, for a second.
_COMPUTED = 1 << 14


@dataclass(frozen=True)
class Estimate:
    """Bytes at the moment when training needs most; the parts add up to `total`.

    evaluation: what an evaluation needs beyond an update.
    """

    weights: int
    gradients: int
    moments: int
    average: int
    state: int
    carry: int
    activations: int
    evaluation: int

    @property
    def total(self) -> int:
        """Everything together."""
        return sum(asdict(self).values())


@dataclass(frozen=True)
class Line:
    """Bytes as a function of the number of rows."""

    fixed: float
    per_row: float

    @classmethod
    def through(cls, few: int, more: int) -> Line:
        """The line through the bytes of the two measured batches."""
        per_row = max(0.0, (more - few) / (_MORE - _FEW))
        return cls(max(0.0, few - per_row * _FEW), per_row)

    def at(self, rows: int) -> int:
        """Bytes of `rows` rows."""
        return round(self.fixed + self.per_row * rows)


@dataclass(frozen=True)
class MemoryModel:
    """The memory of one process of a run, for any number of rows.

    weights: all parameters, trunk: those that the main optimizer updates, averaged: whether their average is kept,
    state: buffers; in bytes. carry: what one row carries from an update to the next. update, evaluation: what a forward
    (and backward) pass allocates beyond that and the gradients.
    """

    weights: int
    trunk: int
    averaged: bool
    state: int
    carry: int
    update: Line
    evaluation: Line

    def estimate(
        self, rows: int, *, micro_batch_size: int | None = None, evaluated: int = 0, shards: int = 1
    ) -> Estimate:
        """The memory of updates of `rows` rows, `micro_batch_size` at once, and of evaluations of `evaluated` rows.

        shards: processes among which weights, moments and average are divided (FSDP).
        """
        average = self.trunk if self.averaged else 0
        whole = self.trunk if shards > 1 else 0  # gathered for the update, beside the shard that is kept
        # A small batch needs most when the optimizer steps, with one more copy of the weights.
        activations = max(self.update.at(min(rows, micro_batch_size or rows)), self.trunk // shards)
        # The average takes the place of the weights, which are copied; gradients are gone by then.
        at_once = min(evaluated, micro_batch_size or evaluated)
        evaluating = self.evaluation.at(at_once) + average // shards - self.trunk if evaluated else 0
        return Estimate(
            weights=self.weights - self.trunk + self.trunk // shards + whole,
            gradients=self.trunk // shards + whole,
            moments=2 * self.trunk // shards,
            average=average // shards,
            state=self.state,
            carry=2 * self.carry * rows,  # the one that goes in and the one that comes out
            activations=activations,
            evaluation=max(0, evaluating - activations),
        )


def most_rows(fits: Callable[[int], bool], limit: int) -> int:
    """The largest number up to `limit` for which `fits` holds, 0 if there is none. Fewer rows fit wherever more do."""
    low, high = 0, limit + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def measure_memory(config: RunConfig, metadata: DatasetMetadata, *, precision: str, device: str) -> MemoryModel:
    """Measure the network of a run. Raises UsageError for settings that contradict each other."""
    small = device == "cpu" and metadata.seq_len * config.arch.hidden_size <= _COMPUTED
    arch = config.arch
    if "H_cycles" in type(arch).model_fields:
        # Only the last outer cycle keeps activations: the others take time and no further memory.
        arch = arch.model_copy(update={"H_cycles": 1})
    with torch.random.fork_rng(devices=[]), ExitStack() as stack:
        if not small:
            stack.enter_context(torch.device("meta"))
            stack.enter_context(fused_attention())
        meter = stack.enter_context(_Meter())
        model = make_model(config.model_copy(update={"arch": arch}), metadata, precision)
        if config.activation_checkpointing:
            model.recompute_activations()
        trunk = list(model.trunk_parameters())
        for parameter in trunk:
            parameter.grad = torch.zeros_like(parameter)
        where = "cpu" if small else "meta"
        batches = [blank_batch(model, config, metadata, rows, where) for rows in (_FEW, _MORE)]
        updates = [meter.peak_of(partial(_update, model, batch)) for batch in batches]
        evaluations = [meter.peak_of(partial(_evaluate, model, batch)) for batch in batches]
        carry = model.initial_carry(batches[0])
        carried = sum(leaf.nbytes for leaf in tree_iter(carry.state_dict()) if isinstance(leaf, Tensor))
    return MemoryModel(
        weights=sum(parameter.nbytes for parameter in model.parameters()),
        trunk=sum(parameter.nbytes for parameter in trunk),
        averaged=config.ema,
        state=sum(buffer.nbytes for buffer in model.buffers()),
        carry=carried // _FEW,
        update=Line.through(*updates),
        evaluation=Line.through(*evaluations),
    )


def _update(model: Network, batch: Mapping[str, Tensor]) -> None:
    draws = torch.zeros(len(next(iter(batch.values()))), model.draws_per_row)
    result = model.train()(model.initial_carry(batch), batch, SETTLED, draws)
    result.loss.backward()


def _evaluate(model: Network, batch: Mapping[str, Tensor]) -> None:
    with torch.inference_mode():
        model.eval().advance(model.initial_carry(batch), batch, SETTLED, None)


class _Meter(TorchDispatchMode):
    """Counts the bytes of the tensors that were made within the block and are alive, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self._live = self._peak = 0
        self._known: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: torch would load its compiler, to keep it away from a mode that never meets it."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and note the storages that it made."""
        result = func(*args, **(kwargs or {}))
        for leaf in tree_iter(result):
            if isinstance(leaf, Tensor) and leaf.layout is torch.strided:
                self._note(leaf.untyped_storage())
        return result

    def peak_of(self, work: Callable[[], None]) -> int:
        """The most bytes that `work` holds at a time beyond what was there before."""
        before = self._peak = self._live
        work()
        return self._peak - before

    def _note(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            weakref.finalize(storage, self._forget, key, size)
            self._live += size
            self._peak = max(self._peak, self._live)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._live -= size
