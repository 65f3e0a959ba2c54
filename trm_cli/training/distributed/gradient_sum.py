"""Sum the gradients of all processes, so that each makes the update that one process would make.

Explicit, after the whole backward, instead of the DistributedDataParallel wrapper: losses here are sums over rows that
are divided by the global batch, so gradients are summed and not averaged; a model is called in more than one way (a
step without gradients looks ahead, an evaluation advances a carry), which the wrapper's hooks do not expect; and the
parameters that a setting leaves without a gradient are known without searching the graph. The sums are the same bits
in every process, so whatever is decided from them (clipping, an overflow, a skipped update) is decided equally.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from trm_cli.errors import TrmError
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.distributed.tensor_shards import is_sharded

#: Numbers summed in one exchange: large enough that its start costs nothing, small enough to be a small part of memory.
_BUCKET = 16_000_000


def reduce_gradients(
    parameters: Iterable[nn.Parameter], table: nn.Parameter | None, process_group: ProcessGroup
) -> None:
    """Replace every gradient by its sum over all processes.

    parameters: those with dense gradients, in the same order everywhere; table: the one with a sparse gradient.
    """
    if process_group.count == 1:
        return
    # FSDP has summed the gradients of sharded parameters.
    dense = [parameter for parameter in parameters if parameter.grad is not None and not is_sharded(parameter)]
    sparse = None if table is None else table.grad
    least, most = _rows_of_a_process(dense, sparse, process_group)
    buckets = [(bucket, torch.cat([p.grad.reshape(-1) for p in bucket])) for bucket in _buckets(dense)]  # type: ignore[union-attr]
    process_group.sum_([flat for _, flat in buckets])
    for bucket, flat in buckets:
        parts = flat.split([parameter.numel() for parameter in bucket])
        for parameter, part in zip(bucket, parts, strict=True):
            parameter.grad = part.view_as(parameter)
    if table is not None and sparse is not None:
        table.grad = _gather_rows(sparse, least, most, process_group)


def _rows_of_a_process(
    dense: list[nn.Parameter], sparse: Tensor | None, process_group: ProcessGroup
) -> tuple[int, int]:
    """The least and the most rows that the sparse gradient of a process has, once it is certain that all have the same
    gradients.

    Other sizes would be summed wrongly, or deadlock.
    """
    rows = 0 if sparse is None else sparse._nnz()
    same = [len(dense), sum(parameter.numel() for parameter in dense), int(sparse is not None)]
    least, most, *found = process_group.largest([-rows, rows, *same, *(-number for number in same)])
    if found != [*same, *(-number for number in same)]:
        raise TrmError("the processes of this run have gradients of different parameters", hint="please report this")
    return -least, most


def _gather_rows(gradient: Tensor, least: int, most: int, process_group: ProcessGroup) -> Tensor:
    """The rows of all processes' sparse gradients of a table [N, E], one after the other, not yet added up.

    In one process the rows of a batch stand in the same order, so that the sums of equal ids have the same bits.
    """
    ids, rows = gradient._indices()[0], gradient._values()
    counted = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
    missing = most - len(ids)
    if missing:
        ids, rows = torch.cat((ids, ids.new_zeros(missing))), torch.cat((rows, rows.new_zeros(missing, rows.shape[1])))
        counted = torch.cat((counted, counted.new_zeros(missing)))
    ids, rows, counted = process_group.gather((ids, rows, counted))
    if least < most:  # only then, since the device would be waited for
        ids, rows = ids[counted], rows[counted]
    return torch.sparse_coo_tensor(ids[None], rows, gradient.shape, check_invariants=False)


def _buckets(dense: list[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Neighbouring parameters together, up to the size of a bucket; one type to a bucket."""
    buckets: list[list[nn.Parameter]] = []
    size = 0
    for parameter in dense:
        if not buckets or size + parameter.numel() > _BUCKET or parameter.dtype != buckets[-1][0].dtype:
            buckets.append([])
            size = 0
        buckets[-1].append(parameter)
        size += parameter.numel()
    return buckets
