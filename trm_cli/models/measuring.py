"""What one update costs, found by running it on the meta device: every operation is seen and none is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from trm_cli.models.cost import Measured
from trm_cli.models.network import Network
from trm_cli.schedule.clock import SETTLED


class _FusedAttention(TorchFunctionMode):
    """Attention by the fused kernel that a device has; the meta device alone would write out, and keep, all scores."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Stand in for one function, pass on the others."""
        options = kwargs or {}
        if func is not scaled_dot_product_attention:
            return func(*args, **options)
        q, k, v = args
        bias, mask = None, options.get("attn_mask")
        if mask is not None:
            bias = torch.empty_like(mask, dtype=q.dtype).expand(*q.shape[:-1], k.shape[-2])
        fused = torch.ops.aten._scaled_dot_product_efficient_attention
        return fused(q, k, v, bias, True, 0.0, options.get("is_causal", False))[0]


def measure(model: Network, batch: Mapping[str, Tensor]) -> Measured:
    """Run one update of a model on a batch, both on the meta device."""
    own = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage.nbytes()
        return tensor

    rows = next(iter(batch.values())).shape[0]
    draws = torch.zeros(rows, model.draws_per_row, device="meta")
    with _FusedAttention(), FlopCounterMode(display=False) as counter, saved_tensors_hooks(keep, lambda tensor: tensor):
        result = model.train()(model.initial_carry(batch), batch, SETTLED, draws)
        forward = counter.get_total_flops()
        root = type(model).__name__ + "."
        modules = {
            name.removeprefix(root): sum(operations.values())
            for name, operations in counter.get_flop_counts().items()
            if name.startswith(root)
        }
        result.loss.backward()
        update = counter.get_total_flops()
    return Measured(forward, update, modules, sum(kept.values()), _bytes(result.carry.state_dict()))


def _bytes(state: Any) -> int:
    if isinstance(state, Mapping):
        return sum(_bytes(value) for value in state.values())
    return int(state.nbytes) if isinstance(state, Tensor) else 0
