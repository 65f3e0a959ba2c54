"""Kernels are chosen in one place; without them the plain formulas train the same network."""

from __future__ import annotations

import runpy
from dataclasses import replace

import pytest
import torch

from tests.support.kernels import without_kernels
from tests.support.networks import CASES, make_batch
from trm_cli.models.kernels import attention, cache, choice, gated_mlp, norm, products
from trm_cli.models.kernels.choice import computed_by, enabled
from trm_cli.schedule.clock import SETTLED

torch.set_num_threads(1)

UPDATES = 20


def _losses(name: str) -> list[float]:
    """The loss of each of a few float32 updates, in all of which the carry goes on."""
    case = CASES[name]
    model = replace(case, settings={**case.settings, "hidden_size": 64}).model()
    with torch.no_grad():  # damped: else the recursion makes a difference of roundings ten times larger each step
        for key, weight in model.named_parameters():
            if key.endswith(("down", ".out")):
                weight.mul_(0.5)
    optimizer = torch.optim.AdamW(model.trunk_parameters(), lr=1e-4)
    batch = make_batch(0)
    carry = model.initial_carry(batch)
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(UPDATES):
        result = model(carry, batch, SETTLED, torch.rand(5, 2, generator=generator))
        carry = result.carry
        optimizer.zero_grad()
        (result.loss / 5).backward()
        optimizer.step()
        found.append(result.loss.item() / 5)
    return found


@pytest.mark.parametrize("name", ["attention", "mlp_t"])
def test_losses_of_twenty_updates_agree_with_and_without_kernels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "_WORTH_STARTING", 0)
    monkeypatch.setattr(cache, "_CACHED_NUMBERS", 2 * 11 * 64)
    fast = _losses(name)
    with without_kernels():
        plain = _losses(name)
    assert fast[-1] < fast[0]
    assert fast == pytest.approx(plain, abs=1e-5, rel=0)


@pytest.mark.parametrize("name", ["attention", "mlp_t"])
def test_without_kernels_none_is_called(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for function in (norm.AddRMSNorm, gated_mlp.SwiGLU, gated_mlp.TokenSwiGLU, attention.SplitHeads):
        monkeypatch.setattr(function, "apply", lambda *_: pytest.fail("a kernel was called"))
    monkeypatch.setattr(products, "_WORTH_STARTING", 0)
    monkeypatch.setattr(products, "product", lambda *_: pytest.fail("a kernel was called"))
    with without_kernels():
        assert len(cache.cached_rows(torch.empty(5, 1_000_000))) == 1
        _losses(name)
    assert enabled()


def test_a_formula_is_computed_by_its_kernel_where_that_is_asked_for() -> None:
    asked = True
    formula = computed_by(lambda x: x + 1, when=lambda: asked)(lambda x: x)
    assert formula(1) == 2
    with without_kernels():
        assert formula(1) == 1
    asked = False
    assert formula(1) == 1


@pytest.mark.parametrize(("value", "expected"), [("off", False), ("OFF", False), ("on", True), (None, True)])
def test_an_environment_variable_turns_them_off(
    monkeypatch: pytest.MonkeyPatch, value: str | None, expected: bool
) -> None:
    monkeypatch.delenv("TRM_KERNELS", raising=False)
    if value is not None:
        monkeypatch.setenv("TRM_KERNELS", value)
    read_anew = runpy.run_path(str(choice.__file__))
    assert read_anew["enabled"]() is expected
