"""Count the floating-point operations of one update by running it on the meta device, which computes nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from trm_cli.models.cost import Measured
from trm_cli.models.network import Network
from trm_cli.schedule.clock import SETTLED


@contextmanager
def fused_attention() -> Iterator[None]:
    """Within the block attention runs the fused kernel of a device; the meta device alone would write out all scores.

    The function is replaced, since a mode would not see attention that the backward pass computes again.
    """
    original = functional.scaled_dot_product_attention
    functional.scaled_dot_product_attention = _efficient_attention  # type: ignore[assignment]  # with fewer options
    try:
        yield
    finally:
        functional.scaled_dot_product_attention = original


def _efficient_attention(
    q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0, is_causal: bool = False
) -> Tensor:
    bias = None
    if attn_mask is not None:
        bias = torch.empty_like(attn_mask, dtype=q.dtype).expand(*q.shape[:-1], k.shape[-2])
    kernel = torch.ops.aten._scaled_dot_product_efficient_attention
    result: Tensor = kernel(q, k, v, bias, True, dropout_p, is_causal)[0]
    return result


def _convolution_backward(
    gradient: torch.Size,
    h: torch.Size,
    weight: torch.Size,
    bias: object,
    stride: object,
    padding: object,
    dilation: object,
    transposed: bool,
    output_padding: object,
    groups: int,
    mask: Sequence[bool],
    out_shape: object = None,
) -> int:
    """Operations of a convolution's gradients, by shapes (torch's own count ignores groups)."""
    del h, bias, stride, padding, dilation, transposed, output_padding, groups, out_shape
    once = 2 * math.prod(gradient) * math.prod(weight[1:])
    return once * (bool(mask[0]) + bool(mask[1]))


def operation_counter() -> FlopCounterMode:
    """torch's counter of floating-point operations, with gradients of grouped convolutions counted as they are."""
    counted = {torch.ops.aten.convolution_backward: _convolution_backward}
    return FlopCounterMode(display=False, custom_mapping=counted)


def measure(model: Network, batch: Mapping[str, Tensor]) -> Measured:
    """Run one update of a model on a batch, both on the meta device."""
    rows = next(iter(batch.values())).shape[0]
    draws = torch.zeros(rows, model.draws_per_row, device="meta")
    with fused_attention(), operation_counter() as counter:
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
    return Measured(forward, update, modules)
