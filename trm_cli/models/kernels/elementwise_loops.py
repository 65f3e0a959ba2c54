"""Gated MLP and residual norm as compiled loops over bfloat16 numbers, each of which is read and written once.

Arrays are flat and hold the bits: the upper half of those of a float32. `lines` pieces of `length` numbers lie in them,
`stride` apart. Everything between reading and writing is float32, so a result is rounded once, where a chain of tensor
operations rounds after each. No number depends on how many lines are given at a time.

One file on purpose: numba's cache on disk looks at the file of the function that is called alone.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from trm_cli.numba_jit import numba_jit_with

# numpy: division by zero gives infinity instead of an exception; contract: a * b + c is rounded once. Without the
# first no loop here becomes vector instructions; the second saves a tenth to a quarter of the time.
_vectorized = numba_jit_with(error_model="numpy", fastmath={"contract"})
# A sum in an order of the compiler's choice: the same in every run of one machine.
_summing = numba_jit_with(error_model="numpy", fastmath={"contract", "reassoc", "nsz"})

_ONE = np.float32(1.0)
_EPSILON = np.float32(1e-5)  # `formulas.RMS_NORM_EPSILON`, written here for the cache's sake

# exp(-x) = 2^n exp(r): n is rounded by adding a number whose last place is 1, which leaves n + 127 in its last bits.
_LIMIT = np.float32(87.0)
_DOUBLINGS = np.float32(-1.0 / math.log(2.0))
_ROUNDING = np.float32(1.5 * 2**23 + 127)
_LOG_2 = np.float32(math.log(2.0))
# exp(r) = 1 + r + r^2 q(r) for |r| <= log(2) / 2: weights of q that minimise the largest relative error (1e-7), found
# by least squares that were weighted anew with the errors until those levelled.
_Q0, _Q1, _Q2, _Q3 = (
    np.float32(weight) for weight in (0.499992317621, 0.166671144522, 0.0418901162533, 0.00831252695621)
)


@_vectorized
def _wide(bits: Any) -> Any:
    """The float32 whose upper half is given."""
    return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)


@_vectorized
def _rounded(value: Any) -> Any:
    """The upper half of the nearest float32 that has no other; of two, of the even one."""
    bits = np.float32(value).view(np.uint32)
    return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


@_vectorized
def _one_plus_exp_minus(x: Any) -> Any:
    """`1 + exp(-x)`, for |x| > 87 that of 87, to six digits: bfloat16 has two."""
    doublings = min(max(x, -_LIMIT), _LIMIT) * _DOUBLINGS
    shifted = doublings + _ROUNDING
    r = (doublings - (shifted - _ROUNDING)) * _LOG_2
    q = ((_Q3 * r + _Q2) * r + _Q1) * r + _Q0
    power = np.uint32(np.float32(shifted).view(np.uint32) << np.uint32(23)).view(np.float32)
    return (q * (r * r) + r + _ONE) * power + _ONE


@_vectorized
def _line(array: Any, line: int, stride: int, length: int) -> Any:
    return array[line * stride : line * stride + length]


# The loops over one line are functions of their own: written inside the loops over lines they take a fifth longer.


@_vectorized
def _gate_line(gate: Any, up: Any, hidden: Any) -> None:
    for place in range(hidden.size):
        x = _wide(gate[place])
        hidden[place] = _rounded(x * _wide(up[place]) / _one_plus_exp_minus(x))


@_vectorized
def gate(gates: Any, ups: Any, stride: int, hidden: Any, lines: int, length: int) -> None:
    """`hidden = silu(gate) * up`; hidden has no gaps."""
    for line in range(lines):
        _gate_line(
            _line(gates, line, stride, length), _line(ups, line, stride, length), _line(hidden, line, length, length)
        )


@_vectorized
def _gate_backward_line(gate: Any, up: Any, hidden: Any, grad_gate: Any, grad_up: Any) -> None:
    """With s = sigmoid(gate): d up = d hidden * gate s, d gate = d hidden * up * (s + gate s (1 - s))."""
    for place in range(hidden.size):
        x, y, grad = _wide(gate[place]), _wide(up[place]), _wide(hidden[place])
        s = _ONE / _one_plus_exp_minus(x)
        activated = x * s
        hidden[place] = _rounded(activated * y)
        grad_up[place] = _rounded(grad * activated)
        grad_gate[place] = _rounded(grad * y * (s + activated * (_ONE - s)))


@_vectorized
def gate_backward(
    gates: Any, ups: Any, stride: int, hidden: Any, grad_gates: Any, grad_ups: Any, lines: int, length: int
) -> None:
    """Gradients of gate and up, lying as these do; `hidden` holds its own gradient and is overwritten with itself."""
    for line in range(lines):
        _gate_backward_line(
            _line(gates, line, stride, length),
            _line(ups, line, stride, length),
            _line(hidden, line, length, length),
            _line(grad_gates, line, stride, length),
            _line(grad_ups, line, stride, length),
        )


@_vectorized
def _add_line(a: Any, b: Any, result: Any) -> None:
    for place in range(result.size):
        result[place] = _rounded(_wide(a[place]) + _wide(b[place]))


@_vectorized
def _scale_line(x: Any, factors: Any) -> None:
    for place in range(x.size):
        x[place] = _rounded(_wide(x[place]) * factors[place])


@_summing
def _normalize_line(x: Any) -> Any:
    """Divide by the root of the mean square; returns what was multiplied with."""
    total = np.float32(0.0)
    for place in range(x.size):
        total += _wide(x[place]) * _wide(x[place])
    inverse = _ONE / np.float32(math.sqrt(total / np.float32(x.size) + _EPSILON))
    for place in range(x.size):
        x[place] = _rounded(_wide(x[place]) * inverse)
    return inverse


@_vectorized
def add_norm_along(a: Any, b: Any, result: Any, inverses: Any, lines: int, length: int) -> None:
    """`result = s / rms(s)`, `s = a + b`, of each line; inverses [lines] are 1 / rms(s)."""
    for line in range(lines):
        own = _line(result, line, length, length)
        _add_line(_line(a, line, length, length), _line(b, line, length, length), own)
        inverses[line] = _normalize_line(own)


@_vectorized
def _add_products(total: Any, a: Any, b: Any) -> None:
    for place in range(total.size):
        total[place] += _wide(a[place]) * _wide(b[place])


@_vectorized
def add_norm_across(a: Any, b: Any, result: Any, inverses: Any, rows: int, lines: int, length: int) -> None:
    """`add_norm_along`, but each place's norm is taken over the `lines` of its row; inverses [rows * length]."""
    for row in range(rows):
        inverse = _line(inverses, row, length, length)
        inverse[:] = np.float32(0.0)
        for line in range(row * lines, (row + 1) * lines):
            own = _line(result, line, length, length)
            _add_line(_line(a, line, length, length), _line(b, line, length, length), own)
            _add_products(inverse, own, own)
        for place in range(length):
            inverse[place] = _ONE / np.float32(math.sqrt(inverse[place] / np.float32(lines) + _EPSILON))
        for line in range(row * lines, (row + 1) * lines):
            _scale_line(_line(result, line, length, length), inverse)


@_summing
def _norm_backward_line(grad: Any, result: Any, inverse: Any, grad_sum: Any) -> None:
    total = np.float32(0.0)
    for place in range(grad.size):
        total += _wide(grad[place]) * _wide(result[place])
    projection = total / np.float32(grad.size)
    for place in range(grad.size):
        value = (_wide(grad[place]) - _wide(result[place]) * projection) * inverse
        grad_sum[place] = _rounded(value)


@_vectorized
def norm_backward_along(grads: Any, results: Any, inverses: Any, grad_sums: Any, lines: int, length: int) -> None:
    """`d s = (d y - y mean(d y * y)) / rms(s)` of each line."""
    for line in range(lines):
        grad, result = _line(grads, line, length, length), _line(results, line, length, length)
        _norm_backward_line(grad, result, inverses[line], _line(grad_sums, line, length, length))


@_vectorized
def _project_line(grad: Any, result: Any, projection: Any, inverse: Any, grad_sum: Any) -> None:
    for place in range(grad.size):
        value = (_wide(grad[place]) - _wide(result[place]) * projection[place]) * inverse[place]
        grad_sum[place] = _rounded(value)


@_vectorized
def norm_backward_across(
    grads: Any, results: Any, inverses: Any, grad_sums: Any, projection: Any, rows: int, lines: int, length: int
) -> None:
    """`norm_backward_along` for `add_norm_across`; projection [length] is scratch."""
    for row in range(rows):
        inverse = _line(inverses, row, length, length)
        projection[:] = np.float32(0.0)
        for line in range(row * lines, (row + 1) * lines):
            _add_products(projection, _line(grads, line, length, length), _line(results, line, length, length))
        for place in range(length):
            projection[place] /= np.float32(lines)
        for line in range(row * lines, (row + 1) * lines):
            grad, result = _line(grads, line, length, length), _line(results, line, length, length)
            _project_line(grad, result, projection, inverse, _line(grad_sums, line, length, length))
