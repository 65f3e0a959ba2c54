"""A checkpoint in parts becomes an ordinary file, which any program can open."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint.checkpoint_file import save_checkpoint
from trm_cli.training.checkpoint.checksummed_file import read_summary
from trm_cli.training.checkpoint.disk_space import require_free_bytes
from trm_cli.training.checkpoint.shards import Parts, Pieces, with_parts
from trm_cli.training.checkpoint.store import SCRATCH, CheckpointStore
from trm_cli.training.run.trained_model import find_checkpoint


@dataclass(frozen=True)
class Consolidated:
    """What was made. parts: of how many; 1 where the checkpoint was an ordinary file already."""

    file: str
    step: int
    parts: int
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """The fields, by name."""
        return asdict(self)


def choose_step(store: CheckpointStore, named: str | None, step: int | None) -> int:
    """The step that is asked for, that of the checkpoint file which is named, or the newest. Raises CheckpointError."""
    steps = store.steps()
    if step is None and named is not None and Path(named).suffix == ".pt":
        step = read_summary(find_checkpoint(named)).get("step")
    if step is None and steps:
        return steps[-1]
    if step not in steps:
        listed = ", ".join(map(str, steps)) or "none"
        raise CheckpointError(f"{store.directory} has no checkpoint of step {step}", hint=f"it has: {listed}")
    return step


def consolidate(store: CheckpointStore, step: int, out: Path | None) -> Consolidated:
    """Write the checkpoint of `step` as one file: in its own place, or to `out`, which leaves the run as it is.

    The whole is put together in files, part by part, so that it takes twice its size on the disk for a while, and
    little memory. Raises CheckpointError.
    """
    state, summary, path = store.load(step, joined=False)
    listed = Parts.of(summary, path)
    target = out or path
    try:
        if listed is not None or out is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            require_free_bytes(target.parent, 2 * sum(listed.sizes if listed else (path.stat().st_size,)))
            with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=target.parent) as scratch:
                numbers = iter(range(1 << 62))
                whole = _on_disk(with_parts(state, summary, path), Path(scratch), numbers)
                save_checkpoint(target, whole, {name: value for name, value in summary.items() if name != "parts"})
        if out is None:
            store.clear_parts()
        size = target.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{target} cannot be written: {error.strerror or error}") from error
    return Consolidated(str(target), step, len(listed.sizes) if listed else 1, size)


def _on_disk(value: Any, folder: Path, numbers: Iterator[int]) -> Any:
    """A state with every `Pieces` put together in a file of its own, which the tensor is a map of."""
    if isinstance(value, dict):
        return {name: _on_disk(item, folder, numbers) for name, item in value.items()}
    if not isinstance(value, Pieces):
        return value
    size = value.shape.numel()
    if not size:
        return value[:]
    file = str(folder / str(next(numbers)))
    target = torch.from_file(file, shared=True, size=size, dtype=value.dtype).view(value.shape)
    value.copy_to(target)
    return target
