"""Tensors of which this process holds a part only: how elementwise arithmetic reaches the part, and how it is read.

Updates and averages are elementwise, so each process may do its own part of them, at the speed of plain tensors.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

from torch import Tensor

from trm_cli.training.checkpoint.shards import Pieces


def is_shard(tensor: Tensor) -> bool:
    """Whether this process holds a part of the tensor only (a DTensor)."""
    # A process that has never imported the class has no instance of it, and need not wait a second for the import.
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def local_parts(tensors: Iterable[Tensor]) -> list[Tensor]:
    """The parts that this process holds, as plain tensors that share their memory."""
    return [tensor.to_local() if is_shard(tensor) else tensor for tensor in tensors]  # type: ignore[attr-defined]


def part_like(whole: Tensor | Pieces, like: Tensor) -> Tensor:
    """`whole`, which every process has or can read, sharded as `like` is; whole where `like` is not, or does not fit.

    Of pieces no more is read than the part of this process.
    """
    if not is_shard(like) or whole.shape != like.shape:
        return whole[:] if isinstance(whole, Pieces) else whole
    from torch.distributed.tensor import DTensor, distribute_tensor

    mesh, placements = like.device_mesh, like.placements  # type: ignore[attr-defined]
    if isinstance(whole, Pieces):
        # FSDP's parts are those of torch.chunk.
        size = -(-len(whole) // mesh.size())
        own = whole[size * mesh.get_local_rank() : size * (mesh.get_local_rank() + 1)].to(like.device)
        return DTensor.from_local(own, mesh, placements, run_check=False, shape=like.shape, stride=like.stride())
    return distribute_tensor(whole.to(like.device), mesh, placements, src_data_rank=None)
