"""Multiply activations and weights, each product by the faster of MKL and oneDNN.

`torch.mm` and `torch.bmm` leave float32 to MKL. On processors with AVX-512 oneDNN takes up to a tenth less time for the
shapes of recursive networks. torch reaches it through the operator that its own compiler emits for linear layers; where
a build or a machine has none, products are those of torch. The operator records no gradient: everything here but
`linear` is for passes without one and for gradients that are written out by hand.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from trm_cli.models.kernels import cache, choice

# Fewer multiplications are done before the operator, which takes 13 microseconds to start, has saved that much.
_WORTH_STARTING = 8_000_000

_HAS_ONEDNN = (
    torch.backends.mkldnn.is_available()
    and torch.backends.cpu.get_cpu_capability() == "AVX512"
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)


def by_onednn(x: Tensor, multiplications: int) -> bool:
    """Whether oneDNN computes a product of x that needs so many: float32, on a processor with AVX-512."""
    # In this order, so that an exporter, to which sizes are symbols, is asked nothing about them.
    possible = choice.enabled() and _HAS_ONEDNN and x.dtype == torch.float32
    return possible and multiplications >= _WORTH_STARTING and cache.on_processor(x)


def product(x: Tensor, weight: Tensor) -> Tensor:
    """`x @ weight.T`: [n, k] and [m, k] give [n, m]."""
    if by_onednn(x, x.numel() * len(weight)):
        result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
        return result
    return torch.mm(x, weight.T)


def add_product(total: Tensor | None, x: Tensor, weight: Tensor) -> Tensor:
    """`total + x @ weight.T`, rounded once; total None is zero."""
    if total is None:
        return product(x, weight)
    if by_onednn(x, x.numel() * len(weight)):
        result: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, total, weight, None, "add")
        return result
    return torch.addmm(total, x, weight.T)


def rows_of_left_products(x: Tensor, weight: Tensor) -> list[slice]:
    """Parts of the first axis of x [B, L, D] for `left_product`: single rows where oneDNN computes them."""
    if len(x) and by_onednn(x, weight.numel() * x.shape[-1]):
        return [slice(row, row + 1) for row in range(len(x))]
    return cache.cached_rows(x)


def left_product(weight: Tensor, x: Tensor) -> Tensor:
    """`weight @ x[b]` for each b: [m, L] and [B, L, D] give [B, m, D].

    bmm with a weight expanded without a copy; `torch.matmul` would transpose x twice.
    """
    if len(x) == 1 and not torch.compiler.is_compiling():  # which cannot take oneDNN's own operator from us
        return product(weight, x[0].T)[None]
    return torch.bmm(weight.expand(x.shape[0], *weight.shape), x)


def add_outer(total: Tensor | None, left: Tensor, right: Tensor) -> Tensor:
    """`total + sum_b left[b] @ right[b].T` for [B, m, D] and [B, n, D]: [m, n]; total None is zero.

    A CPU takes a tenth less time where m is the smaller of the two.
    """
    if len(left) == 1:
        return add_product(total, left[0], right[0])
    if cache.on_processor(left):
        # addbmm accumulates in place, one product after the other; on other devices that would be B launches.
        start = left.new_zeros(left.shape[1], right.shape[1]) if total is None else total
        return torch.addbmm(start, left, right.mT)
    sums = torch.bmm(left, right.mT).sum(0)
    return sums if total is None else total + sums


# An operator of our own, so that torch.compile calls it as it is. (`torch.library.custom_op` would load the compiler.)
torch.library.define("trm::linear", "(Tensor x, Tensor weight) -> Tensor")


@torch.library.impl("trm::linear", "CPU")
def _linear(x: Tensor, weight: Tensor) -> Tensor:
    return product(x.flatten(0, -2), weight).view(*x.shape[:-1], len(weight))


@torch.library.register_fake("trm::linear")
def _linear_without_contents(x: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty(*x.shape[:-1], weight.shape[0])


def _keep_for_gradient(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG001  # given by name
    ctx.save_for_backward(*inputs)


def _gradient_of_linear(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    """The weight's gradient is computed lying on its side: of its factors, x is then the one to be transposed."""
    x, weight = ctx.saved_tensors
    on_its_side = torch.ops.trm.linear(x.flatten(0, -2).T, grad.flatten(0, -2).T)
    return torch.ops.trm.linear(grad, weight.T), on_its_side.T


torch.library.register_autograd("trm::linear", _gradient_of_linear, setup_context=_keep_for_gradient)


@register_flop_formula(torch.ops.trm.linear)
def _operations_of_linear(x: torch.Size, weight: torch.Size, *_: Any, **__: Any) -> int:
    return 2 * x.numel() * weight[0]


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """`x @ weight.T` with its gradient, also where torch.compile calls it: [..., n], [m, n] -> [..., m]."""
    if by_onednn(x, x.numel() * weight.shape[0]):
        result: Tensor = torch.ops.trm.linear(x, weight)
        return result
    return F.linear(x, weight)
