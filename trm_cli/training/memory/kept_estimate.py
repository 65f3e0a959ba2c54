"""The memory estimate of a run, kept beside it: the same run on the same kind of device counts it once.

Counting takes seconds, and a run that is often interrupted would pay them every time.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch

from trm_cli.data.files.durable import write_atomically
from trm_cli.training.memory.preflight import Estimate, Task, estimate
from trm_cli.training.run_files import MEMORY

_SIZES = ("global_batch_size", "micro_batch_size", "activation_checkpointing", "optimizer", "ema", "grad_clip")


def _key(task: Task) -> str:
    """All that an estimate depends on."""
    config, machine, metadata = task.config, task.machine, task.metadata
    facts = {
        "arch": config.arch.model_dump(mode="json"),
        "sizes": {name: getattr(config, name) for name in _SIZES},
        "dataset": [metadata.vocab_size, metadata.seq_len, metadata.num_puzzle_identifiers],
        "batch": {name: [list(array.shape), str(array.dtype)] for name, array in task.blank(1).items()},
        "machine": [machine.device.value, machine.precision.value, machine.compile.value, machine.threads.value],
        "evaluated": task.evaluated,
        "shards": task.shards,
        "torch": torch.__version__,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def kept_or_new(task: Task, run: Path) -> Estimate:
    """The estimate that was kept in the run directory for this very task, or a new one."""
    try:
        kept = json.loads((run / MEMORY).read_text())
        if kept["key"] == _key(task):
            parts = {str(name): int(size) for name, size in kept["parts"].items()}
            return Estimate(parts, int(kept["micro_batch_size"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # nothing kept, or not whole: it is only a saving
    return estimate(task)


def keep(needed: Estimate, task: Task, run: Path) -> None:
    """Write an estimate into the run directory. Raises OSError where that cannot be written."""
    run.mkdir(parents=True, exist_ok=True)
    document = {"key": _key(task), "micro_batch_size": needed.micro_batch_size, "parts": needed.parts}
    write_atomically(run / MEMORY, (json.dumps(document, indent=2) + "\n").encode())
