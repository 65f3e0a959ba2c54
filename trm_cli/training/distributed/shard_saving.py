"""A checkpoint of a sharded run: every process writes its part, then the first one commits all of them with an index.

No process needs memory for more than its own part. A failure of any of them, at any place, leaves what was committed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trm_cli.training.checkpoint.disk_space import checkpoint_bytes
from trm_cli.training.checkpoint.shards import Parts
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.distributed.config_agreement import check_alike
from trm_cli.training.distributed.local_shards import is_shard, local_parts
from trm_cli.training.distributed.process_group import ProcessGroup


def split_state(state: dict[str, Any], process_group: ProcessGroup) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what all processes have in common, with the shape of each tensor that is in parts; the part of this process).

    Parts are rows of sharded tensors, of the carry (in the order of the global batch), and one number of each sum.
    """
    rows = {"carry": state["carry"], "sums": {name: value.reshape(1) for name, value in state["sums"].items()}}
    shared, own = _split({name: value for name, value in state.items() if name not in rows}, 0)
    shared_rows, own_rows = _split(rows, process_group.count)
    return {**shared, **shared_rows}, {**own, **own_rows}


def save_in_parts(
    store: CheckpointStore,
    step: int,
    state: dict[str, Any],
    summary: dict[str, Any],
    *,
    best: bool,
    process_group: ProcessGroup,
    sync: Callable[[], None],
) -> None:
    """Write the checkpoint of `step` together with the others; all processes call it.

    sync: what the first process does before anything is written. Raises the same OSError in all of them where the disk
    of one fails, TrmError where they have drifted apart.
    """
    check_alike({name: value for name, value in state["model"].items() if not is_shard(value)}, process_group)
    shared, own = split_state(state, process_group)
    (needed,) = process_group.total([checkpoint_bytes(own)])
    in_first(sync, process_group)
    save = in_first(lambda: store.begin_parts(step, int(needed) + checkpoint_bytes(shared)), process_group)
    failure, size, digest = 0, 0, bytes(32).hex()
    about = {"step": step, "part": process_group.rank, "of": process_group.count}
    try:
        size, digest = store.save_part(step, save, process_group.rank, own, about)
    except OSError as error:
        failure = error.errno or errno.EIO
    (failure,) = process_group.largest([failure])
    if failure:
        raise OSError(failure, os.strerror(failure))
    sizes, digests = process_group.gather((torch.tensor([size]), torch.tensor([list(bytes.fromhex(digest))])))
    listed = Parts(save, tuple(sizes.tolist()), tuple(bytes(row).hex() for row in digests.tolist()))
    in_first(lambda: store.commit_parts(step, shared, summary, listed, best=best), process_group)


def in_first(make: Callable[[], Any], process_group: ProcessGroup) -> Any:
    """As `Peers.from_first`, with an OSError of the first process raised in all."""

    def attempt() -> Any:
        try:
            return make(), None
        except OSError as error:
            return None, (error.errno, error.strerror or str(error))

    made, failure = process_group.from_first(attempt)
    if failure is not None:
        raise OSError(*failure)
    return made


def _split(value: dict[Any, Any], row_parts: int) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """row_parts: of how many parts a plain tensor is one; 0: it is the same in every process."""
    shared: dict[Any, Any] = {}
    own: dict[Any, Any] = {}
    for name, item in value.items():
        shared[name] = item
        if isinstance(item, dict):
            shared[name], inner = _split(item, row_parts)
            if inner:
                own[name] = inner
        elif isinstance(item, Tensor) and (row_parts or is_shard(item)):
            shared[name] = [len(item) * max(row_parts, 1), *item.shape[1:]]
            own[name] = _plain(item)
    return shared, own


def _plain(tensor: Tensor) -> Tensor:
    """The rows that this process holds, on the CPU, without the room around them that a file would keep as well."""
    (local,) = local_parts([tensor.detach()])
    local = local.cpu()
    return local if local.untyped_storage().nbytes() == local.numel() * local.element_size() else local.clone()
