"""The hand-written gradients against finite differences, and results against the plain formulas."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn import functional

from tests.support.kernels import without_kernels
from trm_cli.models.kernels import cache
from trm_cli.models.kernels.attention import SplitHeads, softmax_attention
from trm_cli.models.kernels.gated_mlp import SwiGLU, TokenSwiGLU
from trm_cli.models.kernels.norm import AddRMSNorm
from trm_cli.models.layers.attention import attention
from trm_cli.models.layers.gated_mlp import swiglu, token_swiglu
from trm_cli.models.layers.norm import add_rms_norm
from trm_cli.models.layers.rotary import rope_tables

torch.set_num_threads(1)

#: qkv and its way out, gate, up and down along positions, the same along features: 6 positions, width 8, 2 heads.
_BLOCK = [(24, 8), (8, 8), (10, 6), (6, 5), (20, 8), (8, 10)]


def _double(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()


@pytest.mark.parametrize("dim", [-1, -2])
def test_gradient_of_residual_norm(dim: int) -> None:
    a, b = _double(2, 5, 3, seed=1), _double(2, 5, 3, seed=2)
    assert gradcheck(lambda x, y: AddRMSNorm.apply(x, y, dim), (a, b))


def test_gradient_of_swiglu() -> None:
    x, w_in, w_out = _double(2, 3, 4), _double(10, 4, seed=1), _double(4, 5, seed=2)
    assert gradcheck(SwiGLU.apply, (x, w_in, w_out))


def test_gradient_of_token_swiglu() -> None:
    x, w_in, w_out = _double(2, 3, 4), _double(10, 3, seed=1), _double(3, 5, seed=2)
    assert gradcheck(TokenSwiGLU.apply, (x, w_in, w_out))


@pytest.mark.parametrize("rotated", [True, False])
def test_gradient_of_heads(rotated: bool) -> None:
    rope = rope_tables(4, 6, 100.0, torch.float64) if rotated else (None, None)
    qkv = _double(2, 4, 36)
    assert gradcheck(lambda t: SplitHeads.apply(t, *rope, 2), (qkv,))


def test_values_of_heads_do_not_keep_their_product() -> None:
    qkv = _double(2, 4, 36)
    for part in SplitHeads.apply(qkv, None, None, 2):
        assert part.untyped_storage().nbytes() == qkv.untyped_storage().nbytes() / 3


def _block(dtype: torch.dtype) -> list[Tensor]:
    """Result of an attention block and a token MLP block, and all gradients."""
    rope = rope_tables(6, 4, 100.0, torch.float64)
    weights = (_double(*shape, seed=seed) / shape[1] ** 0.5 for seed, shape in enumerate(_BLOCK))
    h, *own = (leaf.detach().to(dtype).requires_grad_() for leaf in (_double(5, 6, 8, seed=9), *weights))
    mixed = add_rms_norm(h, attention(h, own[0], own[1], 2, rope))
    mixed = add_rms_norm(mixed, token_swiglu(mixed, own[2], own[3]), dim=-2)
    result = add_rms_norm(mixed, swiglu(mixed, own[4], own[5]))
    scales = torch.linspace(-1, 1, result.numel(), dtype=dtype).view_as(result)
    return [result.detach(), *torch.autograd.grad((result * scales).sum(), (h, *own))]


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_few_rows_at_a_time_are_the_same(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits into the cache decides about speed alone, not about a result or a gradient (but for the order in which
    the gradient of a weight is summed: hence float64)."""
    whole = _block(torch.float64)
    monkeypatch.setattr(cache, "_CACHED_NUMBERS", rows * 6 * 8)
    assert len(cache.cached_rows(torch.empty(5, 6, 8))) == -(-5 // rows)
    for first, second in zip(_block(torch.float64), whole, strict=True):
        torch.testing.assert_close(first, second)


def test_results_and_gradients_are_those_of_the_plain_formulas() -> None:
    fast = _block(torch.float64)
    with without_kernels():
        plain = _block(torch.float64)
    for found, expected in zip(fast, plain, strict=True):
        torch.testing.assert_close(found, expected)


def test_in_bfloat16_they_are_as_close_to_wide_numbers_as_the_plain_formulas() -> None:
    fast, wide = _block(torch.bfloat16), _block(torch.float64)
    with without_kernels():
        plain = _block(torch.bfloat16)
    for found, other, exact in zip(fast, plain, wide, strict=True):
        assert (found.double() - exact).norm() < 1.25 * (other.double() - exact).norm() < 0.05 * exact.norm()


def test_without_gradients_the_results_are_the_same() -> None:
    def parts() -> list[Tensor]:
        rope = rope_tables(3, 2, 100.0, torch.float64)
        x, w_in, w_out = _double(2, 3, 4), _double(10, 4, seed=1), _double(4, 5, seed=2)
        t_in, t_out = _double(10, 3, seed=3), _double(3, 5, seed=4)
        attended = attention(x, torch.cat((w_in, w_in[:2])), w_in[:4], 2, rope)
        return [swiglu(x, w_in, w_out), token_swiglu(x, t_in, t_out), add_rms_norm(x, x * 2), attended]

    with torch.no_grad():
        without = parts()
    for first, second in zip(without, parts(), strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("causal", [False, True])
def test_written_out_attention_equals_the_fused_kernel(causal: bool) -> None:
    q, k, v = (torch.randn(2, 3, 7, 8) for _ in range(3))
    fused = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    torch.testing.assert_close(softmax_attention(q, k, v, causal), fused)
