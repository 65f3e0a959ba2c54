"""Estimate the size of a checkpoint and check that it fits on the disk, before a byte of it is written."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.errors import CheckpointError
from trm_cli.paths import exists
from trm_cli.units import disk_size

if TYPE_CHECKING:
    from torch.optim import Optimizer

#: A tensor's entry in the archive, twice its header (once before the data, once in the directory), aligned to 64 bytes.
_ENTRY_BYTES = 512
#: The pickle's own text, the summary with the configuration, and the archive's end.
_FIXED_BYTES = 1 << 16


def checkpoint_bytes(state: Any) -> int:
    """An upper estimate of the size in bytes of a state of nested dicts, lists and tensors on disk, shards included."""
    from torch import Tensor  # here, so that listing files does not wait for it
    from torch.utils._pytree import tree_iter

    from trm_cli.training.distributed.tensor_shards import is_sharded

    tensors = [leaf for leaf in tree_iter(state) if isinstance(leaf, Tensor)]
    unsharded = [tensor.untyped_storage() for tensor in tensors if not is_sharded(tensor)]
    sizes = {storage.data_ptr(): storage.nbytes() for storage in unsharded}
    # The shards of all processes lie on one disk.
    shards = sum(tensor.numel() * tensor.element_size() for tensor in tensors if is_sharded(tensor))
    return _FIXED_BYTES + sum(sizes.values()) + shards + _ENTRY_BYTES * len(tensors)


def free_bytes(directory: Path) -> int:
    """Bytes that this user may still write where `directory` lies."""
    return shutil.disk_usage(directory).free


def require_free_bytes(directory: Path, needed: int) -> None:
    """Raise OSError (ENOSPC), with both numbers, where so many bytes will not fit."""
    free = free_bytes(directory)
    if needed > free:
        raise OSError(errno.ENOSPC, f"not enough disk space: needs {disk_size(needed)}, {disk_size(free)} free")


def require_space_for_one_checkpoint(directory: Path, state: dict[str, Any], optimizer: Optimizer) -> None:
    """Before the first update: refuse a disk on which not one checkpoint fits. Raises CheckpointError.

    The optimizer has no moments yet and the batch no recurrent state, so this is what it takes at the least.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    moments = 0 if optimizer.state else 2 * sum(weight.numel() * weight.element_size() for weight in weights)
    _require_space(directory, directory, checkpoint_bytes(state) + moments)


def require_writable(directory: Path, needed: int) -> None:
    """For a dry run: refuse a directory that could not be made or written, or has no space for `needed` bytes.

    Raises CheckpointError.
    """
    there = next(path for path in (directory, *directory.absolute().parents) if exists(path))
    if not os.access(there, os.W_OK | os.X_OK):
        read_only = os.statvfs(there).f_flag & os.ST_RDONLY
        reason = os.strerror(errno.EROFS if read_only else errno.EACCES)
        raise CheckpointError(f"cannot write to {directory}: {reason}", hint="choose another checkpoint_path")
    _require_space(directory, there, needed)


def _require_space(directory: Path, there: Path, needed: int) -> None:
    free = free_bytes(there)
    if needed > free:
        raise CheckpointError(
            f"no space for a checkpoint in {directory}: needs at least {disk_size(needed)}, {disk_size(free)} free",
            hint="free some space, or choose another checkpoint_path",
        )


def disk_space_warning(directory: Path, state: dict[str, Any], *, files: int) -> str | None:
    """The warning where `files` checkpoints of a complete state will not fit; None where they will."""
    needed, free = checkpoint_bytes(state), free_bytes(directory)
    if needed * files <= free:
        return None
    return (
        f"disk space in {directory} for {free // needed:,} checkpoints of {disk_size(needed)}; the run keeps up to "
        f"{files} at once: free some space, or lower keep_checkpoints"
    )
