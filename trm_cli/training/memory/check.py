"""Check whether a run fits into the free memory, and suggest a `micro_batch_size` where it does not."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trm_cli.config.schema import RunConfig
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.errors import TrmError
from trm_cli.training.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.hardware.resources import free_memory
from trm_cli.training.memory.estimate import Estimate, MemoryModel, measure_memory, most_rows
from trm_cli.training.run.datasets import Dataset, eval_batch_size
from trm_cli.units import memory_size

#: Of the free memory: up to this share a run surely fits. What a processor's heap cannot use again, between blocks of
#: many sizes, is not estimated: a process took up to 1.85 times the estimate (docs/experiments.md).
_COMFORTABLE, _COMFORTABLE_ON_CPU = 0.85, 0.54
#: Beyond this share it surely does not.
_HOPELESS = 1.25


@dataclass(frozen=True)
class MemoryCheck:
    """The estimated memory of one process of a run beside what is free on its device.

    rows: of an update of this process, evaluated: of one batch of an evaluation, 0 = there is none. free: bytes, None =
    unknown.
    """

    config: RunConfig
    model: MemoryModel
    rows: int
    evaluated: int
    processes: int
    device: str
    free: int | None

    @classmethod
    def of(
        cls,
        config: RunConfig,
        metadata: DatasetMetadata,
        machine: Machine,
        test: Dataset | None,
        process_group: ProcessGroup = SINGLE_PROCESS,
    ) -> MemoryCheck:
        """Measure a process of a run. Those on one machine share the memory of its CPU."""
        processes, neighbours = process_group.count, process_group.local_count
        device = machine.device.value
        free = free_memory(machine.torch_device)
        return cls(
            config=config,
            model=measure_memory(config, metadata, precision=machine.precision.value, device=device),
            rows=config.global_batch_size // processes,
            evaluated=-(-eval_batch_size(config, test, processes) // processes),
            processes=processes,
            device=device,
            free=free // neighbours if free is not None and device == "cpu" else free,
        )

    @property
    def micro_batch_size(self) -> int:
        """Rows that are computed at once."""
        return min(self.rows, self.config.micro_batch_size or self.rows)

    @property
    def evaluated_at_once(self) -> int:
        """Rows of an evaluation that are computed at once."""
        return min(self.evaluated, self.config.micro_batch_size or self.evaluated)

    @property
    def needed(self) -> Estimate:
        """What the run needs as it is configured."""
        return self.needed_with()

    def needed_with(self, *, micro_batch_size: int | None = None, evaluated: int | None = None) -> Estimate:
        """What the run would need with so many rows at once, or with evaluations of so many."""
        return self.model.estimate(
            self.rows,
            micro_batch_size=micro_batch_size or self.config.micro_batch_size,
            evaluated=self.evaluated if evaluated is None else evaluated,
            shards=self.processes if self.config.sharding == "fsdp" else 1,
        )

    @property
    def checkpoint_bytes(self) -> int:
        """What a checkpoint holds at the least: weights, moments and the average."""
        kept = self.model.estimate(1)
        return kept.weights + kept.moments + kept.average

    @property
    def tight(self) -> bool:
        """Whether it may not fit."""
        return self.free is not None and self.needed.total > self._room

    @property
    def hopeless(self) -> bool:
        """Whether the estimate is clearly above what is free."""
        return self.free is not None and self.needed.total > _HOPELESS * self.free

    @property
    def updates_fit(self) -> bool:
        """Whether everything but the evaluations fits."""
        return self.free is not None and self.needed_with(evaluated=0).total <= self._room

    @property
    def _room(self) -> float:
        return (_COMFORTABLE_ON_CPU if self.device == "cpu" else _COMFORTABLE) * (self.free or 0)

    def advice(self) -> str:
        """What to change: the largest `micro_batch_size` that fits, or `eval_batch_size` where evaluations are it."""
        if self.updates_fit and (advice := self._smaller_evaluation(self.evaluated - 1)):
            return advice
        return self._smaller_update(self.micro_batch_size - 1, least=0)

    def _smaller_evaluation(self, limit: int, *, least: int = 0) -> str | None:
        rows = most_rows(lambda size: self.needed_with(evaluated=size).total <= self._room, limit) or least
        return f"eval_batch_size={rows * self.processes} fits by the estimate and scores the same" if rows else None

    def _smaller_update(self, limit: int, *, least: int) -> str:
        """At most `limit` rows at once, `least` where the estimate says none."""
        rows = most_rows(lambda size: self.needed_with(micro_batch_size=size).total <= self._room, limit) or least
        also = "" if self.config.activation_checkpointing else ", or activation_checkpointing=true"
        if not rows:
            return f"not even one row at a time fits: choose a smaller global_batch_size or arch.hidden_size{also}"
        # The replay of the capsule network grows slice by slice.
        same = "the same" if self.config.arch.learns_row_by_row else "nearly the same"
        return f"micro_batch_size={rows} fits by the estimate and learns {same}{also}"

    def too_large(self) -> TrmError:
        """The error of a run that needs more memory than there is, by the estimate."""
        return self._error(self.advice(), "", evaluating=self.updates_fit)

    def refused(self, error: RuntimeError, *, evaluating: bool) -> TrmError:
        """Return the error of a run that ran out of memory (`error`), in an evaluation or in an update.

        It advises at most half of the rows that were refused.
        """
        half = (self.evaluated_at_once if evaluating else self.micro_batch_size) // 2
        least = min(half, 1)
        advice = self._smaller_evaluation(half, least=least) if evaluating else None
        said = f"; {self.device} reported: {str(error).splitlines()[0][:160]}"
        return self._error(advice or self._smaller_update(half, least=least), said, evaluating=evaluating)

    def _error(self, advice: str, said: str, *, evaluating: bool) -> TrmError:
        free = "an unknown amount" if self.free is None else memory_size(self.free)
        rows = self.evaluated_at_once if evaluating else self.micro_batch_size
        return TrmError(
            f"an {'evaluation' if evaluating else 'update'} of {rows} rows at once needs about "
            f"{memory_size(self.needed.total)} (estimated), {free} is free on {self.device}{said}",
            hint=None if self.free is None else advice,
        )


#: What allocators say: the host's, CUDA's own, cuBLAS and cuDNN for their workspaces, Apple's.
_REFUSALS = ("can't allocate memory", "out of memory", "ALLOC_FAILED", "cudaErrorMemoryAllocation")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device, a library on it, or the host's allocator refused."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _REFUSALS)
