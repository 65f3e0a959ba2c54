"""The machine settings of a run: device, precision, compilation and threads, each with its reason."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from trm_cli.config.schema import RunConfig
from trm_cli.training.distributed.process_group import SINGLE_PROCESS, ProcessGroup
from trm_cli.training.hardware.devices import (
    TF32,
    Choice,
    choose_compile,
    choose_device,
    choose_precision,
    choose_threads,
    keep_threads,
)
from trm_cli.training.hardware.torch_runtime import (
    forbid_tf32,
    keep_freed_memory,
    set_threads,
    use_deterministic_kernels,
)
from trm_cli.training.run_files import is_run, read_identity

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Machine:
    """Where a run computes; each choice with its reason."""

    device: Choice
    precision: Choice
    compile: Choice
    threads: Choice
    tf32: Choice = TF32

    @classmethod
    def choose(cls, config: RunConfig, seq_len: int, process_group: ProcessGroup = SINGLE_PROCESS) -> Machine:
        """Decide from the configuration and what is here. Raises UsageError for a device that is not.

        A run that exists keeps its number of threads: another one may change the last bits of a sum. Of several
        processes the first one decides, and all of them do it.
        """
        machine: Machine = process_group.from_first(lambda: cls._choose(config, seq_len, process_group))
        for field in fields(machine):
            choice = getattr(machine, field.name)
            _log.info("%s %s: %s", field.name, choice.value, choice.reason)
        set_threads(int(machine.threads.value))
        forbid_tf32()
        use_deterministic_kernels(config.deterministic and machine.device.value == "cuda")
        if machine.device.value == "cpu":
            keep_freed_memory()
        return machine

    @classmethod
    def _choose(cls, config: RunConfig, seq_len: int, process_group: ProcessGroup) -> Machine:
        device = choose_device(config.device)
        run = Path(config.checkpoint_path)
        processes = process_group.local_count
        if config.threads == "auto" and is_run(run):
            threads = keep_threads(read_identity(run)["threads"], processes=processes)
        else:
            rows = config.global_batch_size // process_group.count * seq_len
            threads = choose_threads(config.threads, rows=rows, width=config.arch.hidden_size, processes=processes)
        return cls(
            device=device,
            precision=choose_precision(config.precision, device.value),
            compile=choose_compile(
                config.compile, device.value, sharded=config.sharding == "fsdp" and process_group.count > 1
            ),
            threads=threads,
        )

    @property
    def torch_device(self) -> torch.device:
        """The device as torch names it."""
        return torch.device(self.device.value)
