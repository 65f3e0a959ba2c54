"""The compiled loops as operators of torch: who watches operations sees them, and tensors without contents have them.

x lies in lines where all of its numbers, or those of each of its rows x[b], follow one another without a gap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def _operator(schema: str, memory: Callable[..., Any], compute: Callable[..., None]) -> Any:
    """`trm::` and the schema; `memory` makes the results, and `compute` fills them in, given them and the arguments."""
    name = schema.split("(")[0]

    def on_processor(*arguments: Any) -> Any:
        results = memory(*arguments)
        compute(results, *arguments)
        return results

    torch.library.define(f"trm::{name}", schema.removeprefix(name))
    torch.library.impl(f"trm::{name}", "CPU", on_processor)
    torch.library.impl(f"trm::{name}", "Meta", memory)
    return getattr(torch.ops.trm, name)


def _loops() -> Any:
    from trm_cli.models.kernels import elementwise_loops  # numba takes a while to load

    return elementwise_loops


def _flat(x: Tensor) -> Any:
    """The memory of x from its first number to its last as a flat array, of bfloat16 the bits."""
    last = sum((size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True))
    flat = torch.as_strided(x.detach(), (last + 1,), (1,))
    return (flat.view(torch.uint16) if x.dtype == torch.bfloat16 else flat).numpy()


def _lines(x: Tensor) -> tuple[int, int]:
    """Number and length of the pieces of x [B, ...] that have no gaps: one, or each of its rows."""
    return (1, x.numel()) if x.is_contiguous() else (len(x), x[0].numel())


def _shape(x: Tensor, dim: int) -> tuple[int, ...]:
    """How a loop is told the shape of x [..., L, D]: number of lines and D, or number of rows, L and D."""
    length, width = x.shape[-2:]
    return (x.numel() // width, width) if dim == -1 else (x.numel() // (length * width), length, width)


def _gated(hidden: Tensor, gate: Tensor, up: Tensor) -> None:
    _loops().gate(_flat(gate), _flat(up), gate.stride(0), _flat(hidden), *_lines(gate))


def _gated_backward(_: None, gate: Tensor, up: Tensor, hidden: Tensor, grad_gate: Tensor, grad_up: Tensor) -> None:
    memory = _flat(gate), _flat(up), gate.stride(0), _flat(hidden), _flat(grad_gate), _flat(grad_up)
    _loops().gate_backward(*memory, *_lines(gate))


def _norm_memory(a: Tensor, b: Tensor, dim: int) -> tuple[Tensor, Tensor]:  # noqa: ARG001  # as `_add_rms_norm` is called
    one_along = list(a.shape)
    one_along[dim] = 1
    return torch.empty_like(a), a.new_empty(one_along, dtype=torch.float32)


def _add_rms_norm(results: tuple[Tensor, Tensor], a: Tensor, b: Tensor, dim: int) -> None:
    loop = _loops().add_norm_along if dim == -1 else _loops().add_norm_across
    loop(_flat(a), _flat(b), *map(_flat, results), *_shape(a, dim))


def _add_rms_norm_backward(grad_sum: Tensor, grad: Tensor, result: Tensor, inverse: Tensor, dim: int) -> None:
    memory = _flat(grad), _flat(result), _flat(inverse), _flat(grad_sum)
    if dim == -1:
        _loops().norm_backward_along(*memory, *_shape(grad, dim))
    else:
        scratch = inverse.new_empty(grad.shape[-1])
        _loops().norm_backward_across(*memory, _flat(scratch), *_shape(grad, dim))


#: `silu(gate) * up`, both of which lie in the same lines.
gated: Callable[[Tensor, Tensor], Tensor] = _operator(
    "gated(Tensor gate, Tensor up) -> Tensor",
    lambda gate, _: torch.empty_like(gate, memory_format=torch.contiguous_format),
    _gated,
)

#: From its own gradient, in `hidden`, to those of gate and up; hidden is overwritten with `silu(gate) * up`.
gated_backward: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], None] = _operator(
    "gated_backward(Tensor gate, Tensor up, Tensor(a!) hidden, Tensor(b!) grad_gate, Tensor(c!) grad_up) -> ()",
    lambda *_: None,
    _gated_backward,
)

#: `y = s / rms(s)` of `s = a + b` along dim -1 or -2, all without gaps, and `1 / rms(s)` in float32.
add_rms_norm: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]] = _operator(
    "add_rms_norm(Tensor a, Tensor b, int dim) -> (Tensor, Tensor)", _norm_memory, _add_rms_norm
)

#: From the gradient of y to that of s, given y and 1 / rms(s).
add_rms_norm_backward: Callable[[Tensor, Tensor, Tensor, int], Tensor] = _operator(
    "add_rms_norm_backward(Tensor grad, Tensor result, Tensor inverse, int dim) -> Tensor",
    lambda _grad, result, _inverse, _dim: torch.empty_like(result),
    _add_rms_norm_backward,
)
