"""Gather the full state of a run from its processes, and take the rows of one process from it again.

Weights, optimizer, average, replay and other buffers are the same in every process. Rows differ: the carry is
gathered in the order of the global batch, so that any number of processes that divides the batch can continue. The
sums of metrics are kept one by one, because adding them up early would round differently. (A sharded run gathers
nothing; its shards, see `checkpoint/sharded_saving.py`, have the same order.)
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from trm_cli.training.distributed.config_agreement import require_same_weights_on_all_ranks
from trm_cli.training.distributed.process_group import ProcessGroup
from trm_cli.training.distributed.tensor_shards import is_sharded, local_tensors


def total_sums(sums: dict[str, float], process_group: ProcessGroup) -> dict[str, float]:
    """Metrics of all rows from those of each process's rows."""
    names = [name for name in sums if _is_over_rows(name)]
    return {**sums, **dict(zip(names, process_group.total([sums[name] for name in names]), strict=True))}


def gather_state(state: dict[str, Any], process_group: ProcessGroup) -> dict[str, Any]:
    """The state of the whole run from the state dict of each process; all of them call it.

    Raises TrmError where what must be the same everywhere is not: a checkpoint would hide that.
    """
    if process_group.count == 1:
        return state
    require_same_weights_on_all_ranks(state["model"], process_group)
    carry, sums = state["carry"], state["sums"]
    if carry is not None:
        carry = gather_carry(carry, process_group)
    names = list(sums)
    gathered = process_group.gather([sums[name].reshape(1) for name in names]) if names else []
    return {**state, "carry": carry, "sums": dict(zip(names, gathered, strict=True))}


def gather_carry(carry: dict[str, Any], process_group: ProcessGroup) -> dict[str, Any]:
    """The carry of the whole batch, in the order of its rows, on the CPU."""
    tensors, structure = tree_flatten(carry)
    gathered = [tensor.cpu() for tensor in process_group.gather(tensors)]
    return dict(tree_unflatten(gathered, structure))


def gather_weights(weights: dict[str, Tensor], process_group: ProcessGroup) -> dict[str, Tensor]:
    """Weights by name on the CPU: in the first process all of them, unsharded; elsewhere none. All processes call it.

    Sharded ones are gathered one after the other. A device holds all of them at once in each update.
    """
    full = {}
    for name, weight in weights.items():
        gathered = _gather_weight(weight, process_group) if is_sharded(weight) else weight
        if process_group.first:
            full[name] = gathered.cpu()
    return full


def _gather_weight(weight: Tensor, process_group: ProcessGroup) -> Tensor:
    """Gather a sharded tensor [N, ...]: all shards are equally long, but for the last, shorter or empty ones."""
    (own,) = local_tensors([weight.detach()])
    missing = -(-len(weight) // process_group.count) - len(own)
    padded = torch.cat((own, own.new_zeros(missing, *own.shape[1:])))
    return process_group.gather([padded])[0][: len(weight)].clone()


def local_state(state: dict[str, Any], process_group: ProcessGroup) -> dict[str, Any]:
    """This process's rows of a gathered state, whatever number of processes wrote it."""
    carry = state["carry"]
    if carry is not None and process_group.count > 1:
        carry = tree_map(lambda tensor: tensor[process_group.rows(len(tensor))].clone(), carry)
    return {
        **state,
        "carry": carry,
        "sums": {name: _own_sum(name, value, process_group) for name, value in state["sums"].items()},
    }


def _is_over_rows(name: str) -> bool:
    """Whether a metric is a sum over rows; the others (how many updates there were, norms of gradients that all
    processes have added up) are the same in every process."""
    return "/" in name and not name.startswith("applied/")


def _own_sum(name: str, value: Tensor, process_group: ProcessGroup) -> Tensor:
    """0-dim: what this process had added up; where there were more or fewer of them, the first one takes all."""
    parts = value.reshape(-1)
    if len(parts) == process_group.count:
        return parts[process_group.rank].clone()
    if not _is_over_rows(name):
        return parts[0].clone()
    return parts.sum() if process_group.first else torch.zeros_like(parts[0])
