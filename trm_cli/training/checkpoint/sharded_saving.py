"""Save a sharded run: every process writes its shard, then the first one commits all of them with an index.

No process needs memory for more than its own shard. A failure of any of them, at any place, leaves what was committed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trm_cli.training.checkpoint.checkpoint_io import ShardList
from trm_cli.training.checkpoint.disk_space import checkpoint_bytes
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.distributed.config_agreement import require_same_weights_on_all_ranks
from trm_cli.training.distributed.process_group import ProcessGroup, on_first_rank
from trm_cli.training.distributed.tensor_shards import is_sharded, local_tensors


def split_state(state: dict[str, Any], process_group: ProcessGroup) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what all processes have in common, with the shape of each sharded tensor; the shard of this process).

    A shard holds rows of sharded tensors, of the carry (in the order of the global batch), and one number of each sum.
    """
    rows = {"carry": state["carry"], "sums": {name: value.reshape(1) for name, value in state["sums"].items()}}
    shared, own = _split({name: value for name, value in state.items() if name not in rows}, 0)
    shared_rows, own_rows = _split(rows, process_group.count)
    return {**shared, **shared_rows}, {**own, **own_rows}


def save_sharded(
    store: CheckpointStore,
    step: int,
    state: dict[str, Any],
    summary: dict[str, Any],
    *,
    best: bool,
    process_group: ProcessGroup,
    sync: Callable[[], None],
) -> str | None:
    """Write the checkpoint of `step` together with the others; all processes call it.

    sync: what the first process does before anything is written. Returns None, or why it was saved but not pointed at.
    Raises the same OSError in all of them where the disk of one fails, TrmError where their weights differ.
    """
    require_same_weights_on_all_ranks(
        {name: value for name, value in state["model"].items() if not is_sharded(value)}, process_group
    )
    shared, own = split_state(state, process_group)
    (needed,) = process_group.total([checkpoint_bytes(own)])
    on_first_rank(sync, process_group)
    save = on_first_rank(lambda: store.begin_shards(step, int(needed) + checkpoint_bytes(shared)), process_group)
    failure, size, checksum = 0, 0, bytes(32).hex()
    about = {"step": step, "part": process_group.rank, "of": process_group.count}
    try:
        size, checksum = store.save_shard(step, save, process_group.rank, own, about)
    except OSError as error:
        failure = error.errno or errno.EIO
    (failure,) = process_group.largest([failure])
    if failure:
        raise OSError(failure, os.strerror(failure))
    sizes, checksums = process_group.gather((torch.tensor([size]), torch.tensor([list(bytes.fromhex(checksum))])))
    listed = ShardList(save, tuple(sizes.tolist()), tuple(bytes(row).hex() for row in checksums.tolist()))
    problem: str | None = on_first_rank(
        lambda: store.commit_shards(step, shared, summary, listed, best=best), process_group
    )
    return problem


def _split(value: dict[Any, Any], row_shards: int) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Split into (shared, own). row_shards: how many shards of a plain tensor there are; 0: it is the same in all."""
    shared: dict[Any, Any] = {}
    own: dict[Any, Any] = {}
    for name, item in value.items():
        shared[name] = item
        if isinstance(item, dict):
            shared[name], inner = _split(item, row_shards)
            if inner:
                own[name] = inner
        elif isinstance(item, Tensor) and (row_shards or is_sharded(item)):
            shared[name] = [len(item) * max(row_shards, 1), *item.shape[1:]]
            own[name] = _local_rows(item)
    return shared, own


def _local_rows(tensor: Tensor) -> Tensor:
    """The rows that this process holds, on the CPU, without the room around them that a file would keep as well."""
    (local,) = local_tensors([tensor.detach()])
    local = local.cpu()
    return local if local.untyped_storage().nbytes() == local.numel() * local.element_size() else local.clone()
