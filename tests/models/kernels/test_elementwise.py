"""The compiled loops over bfloat16 against float64, number by number, and where they are used."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trm_cli.models.kernels import elementwise
from trm_cli.models.layers import blocks, formulas
from trm_cli.training.memory.ledger import Ledger, weightless

#: Half the distance of neighbours in bfloat16, relative to the smaller; and a little for float32 before the rounding.
HALF_STEP = 2.0**-8 * 1.001
SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 70))


@pytest.fixture(autouse=True)
def one_thread_and_any_size(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(elementwise, "_WORTH_LOADING", 1)
    yield
    torch.set_num_threads(before)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return (2 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))).bfloat16()


def _close(found: Tensor, wide: Tensor, terms: Tensor | float = 0.0) -> None:
    """`found` is `wide` rounded once; `terms`: what was added up to it, of which float32 loses the last places."""
    assert found.dtype == torch.bfloat16
    allowed = HALF_STEP * wide.abs() + 1e-6 * torch.as_tensor(terms, dtype=torch.float64).abs() + 1e-38
    assert (found.double() - wide).abs().le(allowed).all()


@pytest.mark.parametrize("gaps", [False, True])
@given(shape=SHAPES)
def test_gates_and_their_gradients_are_those_of_wide_numbers(gaps: bool, shape: tuple[int, int, int]) -> None:
    rows, units, width = shape
    both, grads = _random(rows, 2 * units, width), torch.empty(rows, 2 * units, width, dtype=torch.bfloat16)
    (gate, up), (grad_gate, grad_up) = both.chunk(2, 1), grads.chunk(2, 1)
    if not gaps:
        gate, up, grad_gate, grad_up = (part.contiguous() for part in (gate, up, grad_gate, grad_up))
    grad = _random(rows, units, width, seed=1)
    x, y, d = gate.double(), up.double(), grad.double()
    s = x.sigmoid()
    with Ledger() as ledger:
        _close(elementwise.gated(gate, up), x * s * y)
        hidden = elementwise.gated_backward(gate, up, grad.clone(), grad_gate, grad_up)
    assert ledger.by_loops
    _close(hidden, x * s * y)
    _close(grad_up, d * x * s)
    _close(grad_gate, d * y * (s + x * s * (1 - s)), d * y)


def test_every_number_of_bfloat16_is_gated_or_stays_visibly_broken() -> None:
    gate = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)[None]
    found, wide = elementwise.gated(gate, torch.ones_like(gate)), F.silu(gate.double())
    finite = gate.isfinite()
    assert finite.sum() == 2 * 255 * 128
    assert not found[~finite & (gate != -torch.inf)].isfinite().any()
    usual = finite & (gate.abs() <= 80)  # below, the result is nothing beside any other number
    _close(found[usual], wide[usual])
    curved = usual & (gate.abs() > 0.1) & (gate.abs() < 20)
    assert (found[curved] == wide[curved].bfloat16()).double().mean() > 0.999  # all; 0.998 with an error of 3e-5
    assert found[(gate < -80) & (gate > -1e30)].abs().max() < 1e-7  # exp(-x) is bounded: a network is long lost there
    assert torch.equal(found[finite & (gate > 80)], gate[finite & (gate > 80)])
    broken = gate.new_full((1, 64), torch.nan)
    grads = torch.zeros_like(broken), torch.zeros_like(broken)
    assert elementwise.gated_backward(broken, torch.ones_like(broken), torch.ones_like(broken), *grads).isnan().all()
    assert grads[0].isnan().all() and grads[1].isnan().all()
    normed, inverse = elementwise.add_rms_norm(broken[None], broken[None], -1)
    assert normed.isnan().all() and inverse.isnan().all()


@pytest.mark.parametrize("dim", [-1, -2])
@given(shape=SHAPES)
def test_residual_norms_and_their_gradients_are_those_of_wide_numbers(dim: int, shape: tuple[int, int, int]) -> None:
    a, b, grad = (_random(*shape, seed=seed) for seed in range(3))
    with Ledger() as ledger:
        result, inverse = elementwise.add_rms_norm(a, b, dim)
        grad_sum = elementwise.add_rms_norm_backward(grad, result, inverse, dim)
    assert ledger.by_loops
    total = (a + b).double()  # the sum alone is rounded as bfloat16, as everywhere
    r = formulas.inverse_rms(total, dim)
    torch.testing.assert_close(inverse.double(), r, rtol=1e-6, atol=0)
    _close(result, total * r)
    y, d = result.double(), grad.double()
    products = (d * y).mean(dim, keepdim=True)
    _close(grad_sum, r * (d - y * products), r * (d.abs() + y.abs() * (d * y).abs().mean(dim, keepdim=True)))


def test_no_number_depends_on_how_many_are_computed_at_a_time() -> None:
    gate, up, grad = (_random(3, 7, 333, seed=seed) for seed in range(3))
    whole = elementwise.gated(gate, up)
    alone = [elementwise.gated(gate[..., i : i + 1].contiguous(), up[..., i : i + 1].contiguous()) for i in range(333)]
    assert torch.equal(torch.cat(alone, -1), whole)
    for dim in (-1, -2):
        normed, inverse = elementwise.add_rms_norm(gate, up, dim)
        rows = [elementwise.add_rms_norm(gate[i : i + 1], up[i : i + 1], dim) for i in range(3)]
        assert torch.equal(torch.cat([row[0] for row in rows]), normed)
        grads = [elementwise.add_rms_norm_backward(grad[i : i + 1], *rows[i], dim) for i in range(3)]
        assert torch.equal(torch.cat(grads), elementwise.add_rms_norm_backward(grad, normed, inverse, dim))


def _used(work: object, *arguments: object) -> bool:
    with Ledger() as ledger:
        work(*arguments)  # type: ignore[operator]
    return ledger.by_loops


def test_loops_are_used_for_much_that_lies_in_lines_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    x = _random(4, 6, 8)
    assert _used(elementwise.gated, x, x) and _used(elementwise.add_rms_norm, x, x, -1)
    assert _used(elementwise.gated, *x.chunk(2, 1)) and not _used(elementwise.gated, *x.chunk(2, 2))
    assert not _used(elementwise.add_rms_norm, *x.chunk(2, 1), -1)
    assert not _used(elementwise.gated, x.float(), x.float())
    assert not _used(elementwise.gated, x[:0], x[:0])
    torch.set_num_threads(2)
    assert not _used(elementwise.gated, x, x)
    torch.set_num_threads(1)
    monkeypatch.setattr(elementwise, "_WORTH_LOADING", x.numel() + 1)
    assert not _used(elementwise.gated, x, x) and not _used(elementwise.add_rms_norm, x, x, -2)


def _gradients(dtype: torch.dtype) -> list[Tensor]:
    """Result and gradients of a block's formulas, by loops or by operations of torch, depending on the type."""
    x, w_in, w_out, t_in, t_out = (
        _random(*shape).to(dtype).requires_grad_() for shape in ((4, 9, 16), (48, 16), (16, 24), (20, 9), (9, 10))
    )
    mixed = blocks.add_rms_norm(x, blocks.token_swiglu(x, t_in, t_out) / 30, dim=-2)
    result = blocks.add_rms_norm(mixed, blocks.swiglu(mixed, w_in, w_out) / 30)
    weights = torch.linspace(-1, 1, result.numel()).view_as(result).to(dtype)
    return [result.detach(), *torch.autograd.grad((result * weights).sum(), (x, w_in, w_out, t_in, t_out))]


def test_a_block_has_the_gradients_of_wide_numbers() -> None:
    for found, wide in zip(_gradients(torch.bfloat16), _gradients(torch.float64), strict=True):
        assert (found.double() - wide).norm() < 0.03 * wide.norm()
    with torch.no_grad(), Ledger() as ledger:
        x = _random(4, 9, 16)
        blocks.token_swiglu(x, _random(20, 9), _random(9, 10))
    assert ledger.by_loops


def test_without_contents_the_memory_is_accounted_for() -> None:
    with weightless() as counted:
        x, up = (torch.empty(4, 24, 16, dtype=torch.bfloat16) for _ in range(2))
        hidden = elementwise.gated(x, up)
        result, inverse = elementwise.add_rms_norm(x, up, -2)
        assert inverse.shape == (4, 1, 16) and inverse.dtype == torch.float32
        grad_sum = elementwise.add_rms_norm_backward(x, result, inverse, -2)
        assert counted.live == sum(part.nbytes for part in (x, up, hidden, result, inverse, grad_sum))
    assert counted.by_loops
