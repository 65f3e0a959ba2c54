"""Building blocks against their formulas, and the hand-written gradients against finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from trm_cli.models.kernels import fused
from trm_cli.models.layers import blocks, formulas

torch.set_num_threads(1)

#: qkv and its way out, gate, up and down along positions, the same along features: 6 positions, width 8, 2 heads.
_BLOCK = [(24, 8), (8, 8), (10, 6), (6, 5), (20, 8), (8, 10)]


def _double(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()


@pytest.mark.parametrize("dim", [-1, -2])
def test_hand_written_gradient_of_residual_norm(dim: int) -> None:
    a, b = _double(2, 5, 3, seed=1), _double(2, 5, 3, seed=2)
    assert gradcheck(lambda x, y: fused.AddRMSNorm.apply(x, y, dim), (a, b))
    assert torch.allclose(fused.AddRMSNorm.apply(a, b, dim), formulas.rms_norm(a + b, dim))


def test_hand_written_gradient_of_swiglu() -> None:
    x, w_in, w_out = _double(2, 3, 4), _double(10, 4, seed=1), _double(4, 5, seed=2)
    assert gradcheck(fused.SwiGLU.apply, (x, w_in, w_out))


def test_hand_written_gradient_of_token_swiglu() -> None:
    x, w_in, w_out = _double(2, 3, 4), _double(10, 3, seed=1), _double(3, 5, seed=2)
    assert gradcheck(fused.TokenSwiGLU.apply, (x, w_in, w_out))


@pytest.mark.parametrize("turned", [True, False])
def test_hand_written_gradient_of_heads(turned: bool) -> None:
    rope = blocks.rope_tables(4, 6, 100.0, torch.float64) if turned else (None, None)
    qkv = _double(2, 4, 36)
    assert gradcheck(lambda t: fused.SplitHeads.apply(t, *rope, 2), (qkv,))


def test_values_of_heads_do_not_keep_their_product() -> None:
    qkv = _double(2, 4, 36)
    for part in fused.SplitHeads.apply(qkv, None, None, 2):
        assert part.untyped_storage().nbytes() == qkv.untyped_storage().nbytes() / 3


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_few_rows_at_a_time_are_the_same(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits into the cache decides about speed alone, not about a result or a gradient (but for the order in which
    the gradient of a weight is summed: hence float64)."""
    rope = blocks.rope_tables(6, 4, 100.0, torch.float64)
    weights = [_double(*shape, seed=seed).detach() for seed, shape in enumerate(_BLOCK)]

    def found() -> list[torch.Tensor]:
        h = _double(5, 6, 8, seed=9).detach().requires_grad_()
        own = [weight.clone().requires_grad_() for weight in weights]
        mixed = blocks.add_rms_norm(h, blocks.attention(h, own[0], own[1], 2, rope))
        mixed = blocks.add_rms_norm(mixed, blocks.token_swiglu(mixed, own[2], own[3]), dim=-2)
        result = blocks.add_rms_norm(mixed, blocks.swiglu(mixed, own[4], own[5]))
        (result * result.detach().cos()).sum().backward()
        return [result, *(leaf.grad for leaf in (h, *own) if leaf.grad is not None)]

    whole = found()
    monkeypatch.setattr(formulas, "_CACHED_NUMBERS", rows * 6 * 8)
    assert len(formulas.cached_rows(torch.empty(5, 6, 8))) == -(-5 // rows)
    for first, second in zip(found(), whole, strict=True):
        torch.testing.assert_close(first, second)


def _parts_of_a_block(
    x: torch.Tensor, w_in: torch.Tensor, w_out: torch.Tensor, t_in: torch.Tensor, t_out: torch.Tensor
) -> list[torch.Tensor]:
    rope = blocks.rope_tables(3, 2, 100.0, torch.float64)
    mixed = [blocks.swiglu(x, w_in, w_out), blocks.token_swiglu(x, t_in, t_out), blocks.add_rms_norm(x, x * 2)]
    return [*mixed, blocks.attention(x, torch.cat((w_in, w_in[:2])), w_in[:4], 2, rope)]


def test_recording_and_plain_forms_agree() -> None:
    x, w_in, w_out = _double(2, 3, 4), _double(10, 4, seed=1), _double(4, 5, seed=2)
    t_in, t_out = _double(10, 3, seed=3), _double(3, 5, seed=4)
    with torch.no_grad():
        plain = _parts_of_a_block(x, w_in, w_out, t_in, t_out)
    kept = _parts_of_a_block(x, w_in, w_out, t_in, t_out)
    for first, second in zip(plain, kept, strict=True):
        torch.testing.assert_close(first, second)


def test_norm_is_computed_in_float32_for_half_precision() -> None:
    x = torch.full((1, 1024), 300.0, dtype=torch.float16)  # the sum of squares overflows float16
    torch.testing.assert_close(blocks.rms_norm(x), torch.ones_like(x))


def test_truncated_normal_realises_its_deviation_and_its_bounds() -> None:
    torch.manual_seed(0)
    drawn = blocks.truncated_normal_(torch.empty(400_000), std=0.5)
    assert drawn.std().item() == pytest.approx(0.5, rel=5e-3)
    assert drawn.mean().item() == pytest.approx(0.0, abs=5e-3)
    assert drawn.abs().max().item() <= 2 * 0.5 / 0.8796 + 1e-4


def test_zero_deviation_draws_nothing() -> None:
    before = torch.get_rng_state()
    assert not blocks.truncated_normal_(torch.ones(3), std=0).any()
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("features", "width"), [(512, 1536), (97, 512), (81, 256), (32, 256), (1024, 2816)])
def test_swiglu_width(features: int, width: int) -> None:
    assert blocks.swiglu_width(features, 4) == width


def test_rotation_depends_on_relative_position_only() -> None:
    rope = blocks.rope_tables(12, 8, 10_000.0)
    q, k = torch.randn(8), torch.randn(8)
    turned_q = formulas.rotate(q.expand(12, 8), *rope)
    turned_k = formulas.rotate(k.expand(12, 8), *rope)
    assert (turned_q[3] @ turned_k[5]).item() == pytest.approx((turned_q[8] @ turned_k[10]).item(), rel=1e-4, abs=1e-5)
    assert turned_q[7].norm().item() == pytest.approx(q.norm().item(), rel=1e-5)


def test_odd_head_width_is_refused() -> None:
    with pytest.raises(ValueError, match="even head width"):
        blocks.rope_tables(4, 7, 10_000.0)


def test_plain_attention_equals_the_fused_kernel() -> None:
    q, k, v = (torch.randn(2, 3, 7, 8) for _ in range(3))
    fast = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(formulas.softmax_attention(q, k, v), fast)
    scores = torch.einsum("bhid,bhjd->bhij", q, k) / math.sqrt(8)
    torch.testing.assert_close(fast, torch.einsum("bhij,bhjd->bhid", scores.softmax(-1), v))


def test_unknown_dtype_is_named() -> None:
    with pytest.raises(ValueError, match="float32, bfloat16, float16"):
        blocks.forward_dtype_named("float8")
