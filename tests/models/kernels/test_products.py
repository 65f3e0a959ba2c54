"""Products by oneDNN and by torch against float64, and the hand-written gradients through both."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trm_cli.models.kernels import cache, products
from trm_cli.models.layers.gated_mlp import swiglu, token_swiglu

WITHOUT_ONEDNN = pytest.mark.skipif(not products._HAS_ONEDNN, reason="no oneDNN, or no processor with AVX-512")


@pytest.fixture(params=[pytest.param("onednn", marks=WITHOUT_ONEDNN), "torch", "accelerator"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every float32 product by oneDNN, or none, or all rows at once as on an accelerator."""
    name = str(request.param)
    monkeypatch.setattr(products, "_HAS_ONEDNN", name == "onednn")
    monkeypatch.setattr(products, "_WORTH_STARTING", 0)
    if name == "accelerator":
        monkeypatch.setattr(cache, "on_processor", lambda x: False)
    return name


def _close(found: Tensor, wide: Tensor) -> None:
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wide, rtol=1e-4, atol=1e-4)


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize(("n", "k", "m"), [(1, 1, 1), (5, 97, 3), (97, 33, 130), (64, 512, 96)])
@pytest.mark.parametrize("turned", [False, True])
def test_products_are_those_of_wide_numbers(library: str, n: int, k: int, m: int, turned: bool) -> None:
    x, weight, total = (_random(k, n).T, _random(k, m).T, _random(m, n).T) if turned else (
        _random(n, k), _random(m, k), _random(n, m)
    )  # fmt: skip
    wide = x.double() @ weight.double().T
    before = total.clone()
    _close(products.product(x, weight), wide)
    _close(products.add_product(None, x, weight), wide)
    _close(products.add_product(total, x, weight), total.double() + wide)
    assert torch.equal(total, before)


@pytest.mark.parametrize("rows", [1, 3])
def test_products_from_the_left_and_sums_of_them(library: str, rows: int) -> None:
    x, weight, other = _random(rows, 9, 20), _random(7, 9), _random(rows, 5, 20)
    _close(products.left_product(weight, x), torch.einsum("ml,bld->bmd", weight.double(), x.double()))
    outer = torch.einsum("bld,bnd->ln", x.double(), other.double())
    _close(products.add_outer(None, x, other), outer)
    _close(products.add_outer(torch.ones(9, 5), x, other), outer + 1)
    assert len(products.rows_of_left_products(x, weight)) == (rows if library == "onednn" else 1)


def _plain_linear(x: Tensor, weight: Tensor, _: Tensor) -> Tensor:
    return x @ weight.T


def _plain_swiglu(x: Tensor, w_in: Tensor, w_out: Tensor) -> Tensor:
    gate, up = (x @ w_in.T).chunk(2, -1)
    return (functional.silu(gate) * up) @ w_out.T


def _plain_token_swiglu(x: Tensor, w_in: Tensor, w_out: Tensor) -> Tensor:
    gate, up = (w_in @ x).chunk(2, -2)
    return w_out @ (functional.silu(gate) * up)


@pytest.mark.parametrize(
    ("layer", "plain", "width"),
    [
        (lambda x, w, _: products.linear(x, w), _plain_linear, 12),
        (swiglu, _plain_swiglu, 12),
        (token_swiglu, _plain_token_swiglu, 9),
    ],
    ids=["linear", "swiglu", "token_swiglu"],
)
@pytest.mark.parametrize("rows_at_a_time", [1, 2, 5])
def test_layers_and_their_gradients_are_those_of_wide_numbers(
    library: str,
    layer: Callable[..., Tensor],
    plain: Callable[..., Tensor],
    width: int,
    rows_at_a_time: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache, "_CACHED_NUMBERS", rows_at_a_time * 9 * 12)
    leaves = [_random(5, 9, 12), 0.3 * _random(16, width), 0.3 * _random(width, 8)]
    single = [leaf.clone().requires_grad_() for leaf in leaves]
    double = [leaf.double().requires_grad_() for leaf in leaves]
    result, wide = layer(*single), plain(*double)
    _close(result, wide)
    result.cos().sum().backward()
    wide.cos().sum().backward()
    for found, expected in zip(single, double, strict=True):
        assert (found.grad is None) == (expected.grad is None)
        if found.grad is not None and expected.grad is not None:
            _close(found.grad, expected.grad)
    with torch.no_grad():
        _close(layer(*leaves), wide)


@pytest.mark.slow
@WITHOUT_ONEDNN
def test_the_operator_is_one_that_torch_can_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_WORTH_STARTING", 0)
    x, weight = _random(2, 3, 5).requires_grad_(), _random(4, 5).requires_grad_()
    torch.library.opcheck(torch.ops.trm.linear.default, (x, weight))
    counted: list[str] = []

    def counting(module: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        counted.extend(str(node.target) for node in module.graph.nodes if node.op == "call_function")
        return module

    leaves = [_random(2, 3, 5), 0.3 * _random(16, 5), 0.3 * _random(5, 8)]
    torch.compiler.reset()
    compiled = torch.compile(swiglu, backend=counting, fullgraph=True)
    torch.testing.assert_close(compiled(*leaves), swiglu(*leaves))
    assert sum("trm.linear" in target for target in counted) == 2
    compiled = torch.compile(token_swiglu, backend=counting, fullgraph=True)
    token = [_random(1, 5, 3), *leaves[1:]]
    torch.testing.assert_close(compiled(*token), token_swiglu(*token))
    assert not any("mkldnn" in target for target in counted), "the compiler cannot lower it outside its own passes"


def test_no_rows_are_no_products(library: str) -> None:
    with torch.no_grad():
        assert swiglu(torch.empty(0, 9, 12), _random(16, 12), _random(12, 8)).shape == (0, 9, 12)
        assert token_swiglu(torch.empty(0, 9, 12), _random(16, 9), _random(9, 8)).shape == (0, 9, 12)


def test_onednn_is_for_large_products_of_float32_on_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_HAS_ONEDNN", True)
    large = 100_000_000
    assert products.by_onednn(torch.empty(2, 2), large)
    assert not products.by_onednn(torch.empty(2, 2), 1_000_000)
    for other in (torch.bfloat16, torch.float64):
        assert not products.by_onednn(torch.empty(2, 2, dtype=other), large)
    assert not products.by_onednn(torch.empty(2, 2, device="meta"), large)
