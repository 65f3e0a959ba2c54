"""Convert a sharded checkpoint to a single file, which any program can open."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint.checkpoint_format import save_file
from trm_cli.training.checkpoint.checkpoint_io import ShardList, with_shards
from trm_cli.training.checkpoint.disk_space import require_free_bytes
from trm_cli.training.checkpoint.store import SCRATCH, CheckpointStore
from trm_cli.training.distributed.tensor_shards import TensorShards


@dataclass(frozen=True)
class Consolidated:
    """The file that was written. parts: of how many shards; 1 where the checkpoint was a single file already."""

    file: str
    step: int
    parts: int
    bytes: int


def consolidate(store: CheckpointStore, step: int, out: Path | None) -> Consolidated:
    """Write the checkpoint of `step` as one file: in its own place, or to `out`, which leaves the run as it is.

    Tensors are assembled in files, shard by shard, which takes twice the checkpoint's size on disk for a while, and
    little memory. Raises CheckpointError.
    """
    state, summary, path = store.load(step, assembled=False)
    listed = ShardList.from_summary(summary, path)
    target = out or path
    try:
        if listed is not None or out is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            require_free_bytes(target.parent, 2 * sum(listed.sizes if listed else (path.stat().st_size,)))
            with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=target.parent) as scratch:
                files = (f"{scratch}/{number}" for number in itertools.count())
                sharded = with_shards(state, summary, path)
                full = tree_map_only(TensorShards, lambda shards: _on_disk(shards, next(files)), sharded)
                save_file(target, full, {name: value for name, value in summary.items() if name != "parts"})
        if out is None:
            store.delete_unlisted_shards()
        size = target.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{target} cannot be written: {error.strerror or error}") from error
    return Consolidated(str(target), step, len(listed.sizes) if listed else 1, size)


def _on_disk(shards: TensorShards, file: str) -> Tensor:
    """The shards assembled in a file of their own, as a memory-mapped tensor."""
    size = shards.shape.numel()
    if not size:
        return shards[:]
    target = torch.from_file(file, shared=True, size=size, dtype=shards.dtype).view(shards.shape)
    shards.copy_to(target)
    return target
