"""FSDP2 for a model whose weights, moments and average do not fit on every device: each process keeps a shard.

The model is one unit. Its weights are gathered for the forward and the backward of a step, because the recursion uses
all of them again and again and casts them once; the weights between steps, both moments and the average, most of what a
small batch needs, stay sharded. Gradients are summed and scattered by FSDP instead of by `gradient_sum.py`. The puzzle
table is not sharded: its gradient is sparse. Each process writes its shard of a checkpoint (`sharded_saving.py`) and
reads only its own rows of one, in however many shards that is; so a run may change its sharding when it continues.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from trm_cli.errors import UsageError
from trm_cli.training.distributed.tensor_shards import shard_like

#: Of the 65,535 bytes of a checkpoint's summary each shard takes up to 88, and the configuration takes what is left.
MAX_SHARDS = 512


def shard(model: nn.Module, *, count: int, device_type: str, precision: str) -> None:
    """Shard the trunk of `model` over all `count` processes. Raises UsageError for what cannot be sharded."""
    if precision == "float16":
        raise UsageError(
            "sharding=fsdp and precision=float16 do not go together: no process sees whether all gradients are finite",
            hint="use precision=bfloat16 or float32",
        )
    if count > MAX_SHARDS:
        raise UsageError(
            f"sharding=fsdp takes up to {MAX_SHARDS} processes, not {count}: a checkpoint has a shard for each",
            hint=f"start at most {MAX_SHARDS}, or use sharding=none where the model fits on each device",
        )
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard

    if not hasattr(FSDPModule, "set_force_sum_reduction_for_comms"):
        raise UsageError("sharding=fsdp needs a newer torch", hint="install torch 2.9 or later")
    # It warns of outputs that share memory, which nothing here writes to.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module")
    table = model.puzzle_embedding
    fully_shard(
        model,
        mesh=init_device_mesh(device_type, (count,)),
        reshard_after_forward=False,
        ignored_params=None if table is None else {table.weight},  # type: ignore[arg-type, union-attr]
    )
    # Losses are divided by the global batch already; and gloo knows no other reduction.
    model.set_gradient_divide_factor(1.0)  # type: ignore[operator]
    model.set_force_sum_reduction_for_comms(True)  # type: ignore[operator]


@contextmanager
def gathered(model: nn.Module, *, sharded: bool) -> Iterator[None]:
    """Within the block the weights are gathered, for uses of the model other than calling it; they are not changed."""
    if not sharded:
        yield
        return
    model.unshard()  # type: ignore[operator]
    try:
        yield
    finally:
        model.reshard()  # type: ignore[operator]


def shard_state(state: dict[str, Any], model: nn.Module, trunk: list[nn.Parameter]) -> dict[str, Any]:
    """Shard a full state as `model` is sharded. trunk: the optimizer's parameters, in its order."""
    average = None if state["ema"] is None else shard_weights(state["ema"], model)
    optimizer = state["trunk_optimizer"]
    moments = {
        index: {
            name: shard_like(value, trunk[index]) if hasattr(value, "shape") else value for name, value in entry.items()
        }
        for index, entry in optimizer["state"].items()
    }
    weights = shard_weights(state["model"], model)
    return {**state, "model": weights, "ema": average, "trunk_optimizer": {**optimizer, "state": moments}}


def shard_weights(weights: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Shard full weights by name, each as that of `model` is."""
    now = model.state_dict()
    return {name: shard_like(value, now[name]) if name in now else value for name, value in weights.items()}
