"""Whether a run fits into the memory that is free, and what to change where it does not."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trm_cli.config.schema import RunConfig
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.errors import TrmError
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.hardware.resources import free_memory
from trm_cli.training.memory.estimate import Estimate, MemoryModel, measure_memory, most_rows
from trm_cli.units import memory_size

#: Of the free memory: up to the first share a run surely fits, beyond the second surely not. The estimate is rough.
_COMFORTABLE, _HOPELESS = 0.85, 1.25


@dataclass(frozen=True)
class MemoryCheck:
    """The estimated memory of one process of a run beside what is free on its device.

    rows: of an update of this process, evaluated: of one batch of an evaluation, 0 = there is none. shards: processes
    that divide the weights among them. free: bytes, None = unknown.
    """

    config: RunConfig
    model: MemoryModel
    rows: int
    evaluated: int
    shards: int
    device: str
    free: int | None

    @classmethod
    def of(
        cls,
        config: RunConfig,
        metadata: DatasetMetadata,
        machine: Machine,
        *,
        evaluated: int,
        processes: int = 1,
        neighbours: int = 1,
    ) -> MemoryCheck:
        """Measure a run of `processes`; of these, `neighbours` on this machine share the memory of its CPU."""
        device = machine.device.value
        free = free_memory(machine.torch_device)
        return cls(
            config=config,
            model=measure_memory(config, metadata, precision=machine.precision.value, device=device),
            rows=config.global_batch_size // processes,
            evaluated=evaluated,
            shards=processes if config.sharding == "fsdp" else 1,
            device=device,
            free=free // neighbours if free is not None and device == "cpu" else free,
        )

    @property
    def micro_batch_size(self) -> int:
        """Rows that are computed at once."""
        return min(self.rows, self.config.micro_batch_size or self.rows)

    @property
    def needed(self) -> Estimate:
        """What the run needs as it is configured."""
        return self.needed_with(self.micro_batch_size)

    def needed_with(self, micro_batch_size: int) -> Estimate:
        """What the run would need with so many rows at once."""
        return self.model.estimate(
            self.rows, micro_batch_size=micro_batch_size, evaluated=self.evaluated, shards=self.shards
        )

    @property
    def tight(self) -> bool:
        """Whether it may not fit."""
        return self.free is not None and self.needed.total > _COMFORTABLE * self.free

    @property
    def hopeless(self) -> bool:
        """Whether the estimate is clearly above what is free."""
        return self.free is not None and self.needed.total > _HOPELESS * self.free

    def advice(self, *, refused: bool = False) -> str:
        """What to change: the largest `micro_batch_size` that fits; at most half of one that the device `refused`."""
        limit = self.micro_batch_size // 2 if refused else self.micro_batch_size - 1
        room = _COMFORTABLE * (self.free or 0)
        rows = most_rows(lambda size: self.needed_with(size).total <= room, limit) or (1 if refused and limit else 0)
        also = "" if self.config.activation_checkpointing else ", or activation_checkpointing=true"
        if not rows:
            return f"not even one row at a time fits: choose a smaller global_batch_size or arch.hidden_size{also}"
        # Replay, concepts and memory of the capsule network learn slice by slice.
        same = "the same" if self.config.arch.learns_row_by_row else "nearly the same"
        return f"micro_batch_size={rows} fits by the estimate and learns {same}{also}"

    def too_large(self, error: RuntimeError | None = None) -> TrmError:
        """The error of a run that needs more memory than there is; `error` is what the device said."""
        free = "an unknown amount" if self.free is None else memory_size(self.free)
        said = "" if error is None else f"; {self.device} said: {str(error).splitlines()[0][:160]}"
        return TrmError(
            f"an update of {self.micro_batch_size} rows at once needs about {memory_size(self.needed.total)} "
            f"(estimated), {free} is free on {self.device}{said}",
            hint=None if self.free is None else self.advice(refused=error is not None),
        )


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device or the host's allocator refused."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
