"""Tensors of which a process, or a file, holds some of the rows: how arithmetic reaches them, and how they are read.

Updates and averages are elementwise, so each process may do its own share of them, at the speed of plain tensors.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # listing checkpoints does not wait for torch
    from torch import Size, Tensor, dtype


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process holds only some rows of the tensor (a DTensor)."""
    # A process that has never imported the class has no instance of it, and need not wait a second for the import.
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def local_tensors(tensors: Iterable[Tensor]) -> list[Tensor]:
    """The rows that this process holds of each tensor, as plain tensors that share their memory."""
    return [tensor.to_local() if is_sharded(tensor) else tensor for tensor in tensors]  # type: ignore[attr-defined]


class TensorShards:
    """A tensor [N, ...] in shards along its first dimension, which are read from their files as rows are asked for."""

    def __init__(self, shards: Sequence[Tensor], shape: Sequence[int]) -> None:
        """Raises ValueError for shards that do not make a tensor of this shape."""
        rest = {(tuple(shard.shape[1:]), shard.dtype) for shard in shards}
        if rest != {(tuple(shape[1:]), shards[0].dtype)} or sum(map(len, shards)) != shape[0]:
            raise ValueError(f"{[list(shard.shape) for shard in shards]} are not the shards of {list(shape)}")
        self._shards = shards
        self._count = shape[0]

    @property
    def shape(self) -> Size:
        """The shape of the full tensor."""
        return type(self._shards[0].shape)((self._count, *self._shards[0].shape[1:]))

    @property
    def dtype(self) -> dtype:
        """The type of the full tensor."""
        return self._shards[0].dtype

    def copy_to(self, target: Tensor) -> None:
        """Fill `target`, which has this shape, shard by shard."""
        start = 0
        for shard in self._shards:
            target[start : start + len(shard)] = shard
            start += len(shard)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, rows: slice) -> Tensor:
        """Some of the rows, as a copy: the files may be deleted then."""
        import torch

        first, last, _ = rows.indices(self._count)
        found, start = [], 0
        for shard in self._shards:
            found.append(shard[max(first - start, 0) : max(last - start, 0)])
            start += len(shard)
        return torch.cat(found)


def shard_like(full: Tensor | TensorShards, like: Tensor) -> Tensor:
    """Shard `full`, which every process has or can read, as `like` is; a plain tensor where `like` is one or differs.

    Of shards in files no more is read than the rows of this process.
    """
    if not is_sharded(like) or full.shape != like.shape:
        return full[:] if isinstance(full, TensorShards) else full
    from torch.distributed.tensor import DTensor, distribute_tensor

    mesh, placements = like.device_mesh, like.placements  # type: ignore[attr-defined]
    if isinstance(full, TensorShards):
        # FSDP's shards are those of torch.chunk.
        size = -(-len(full) // mesh.size())
        own = full[size * mesh.get_local_rank() : size * (mesh.get_local_rank() + 1)].to(like.device)
        return DTensor.from_local(own, mesh, placements, run_check=False, shape=like.shape, stride=like.stride())
    return distribute_tensor(full.to(like.device), mesh, placements, src_data_rank=None)
