"""AdamATan2 and sign-SGD against their formulas in plain float64 numpy."""

from __future__ import annotations

import copy
import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.runs import differing
from trm_cli.training.optimizers.adam_atan2 import AdamATan2
from trm_cli.training.optimizers.eager import AdamW
from trm_cli.training.optimizers.sign_sgd import SignSGD

torch.set_num_threads(1)
KINDS = (AdamW, torch.optim.AdamW)


def _numpy_adam_atan2(p: np.ndarray, gradients: list[np.ndarray], rates: list[float], decay: float) -> np.ndarray:
    m, v = np.zeros_like(p), np.zeros_like(p)
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), start=1):
        p = p * (1 - lr * decay)
        m = 0.9 * m + 0.1 * g
        v = 0.95 * v + 0.05 * g**2
        p = p - lr / (1 - 0.9**t) * np.arctan2(m, np.sqrt(v) / np.sqrt(1 - 0.95**t))
    return p


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_adam_atan2_follows_the_formula(dtype: torch.dtype, tolerance: float) -> None:
    rng = np.random.default_rng(0)
    starts = [rng.normal(size=(3, 4)), rng.normal(size=7)]
    gradients = [[rng.normal(size=s.shape) * 10.0 ** rng.integers(-3, 3) for _ in range(12)] for s in starts]
    rates = list(np.linspace(1e-3, 1e-1, 12))
    parameters = [nn.Parameter(torch.tensor(s, dtype=dtype)) for s in starts]
    optimizer = AdamATan2(parameters, lr=0.0, weight_decay=0.5)
    for step, rate in enumerate(rates):
        for parameter, history in zip(parameters, gradients, strict=True):
            parameter.grad = torch.tensor(history[step], dtype=dtype)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
    for parameter, start, history in zip(parameters, starts, gradients, strict=True):
        expected = _numpy_adam_atan2(start, history, rates, 0.5)
        np.testing.assert_allclose(parameter.detach().double().numpy(), expected, rtol=tolerance, atol=tolerance)


def test_first_step_is_a_quarter_turn_of_the_learning_rate() -> None:
    # t = 1: m = 0.1 g, v = 0.05 g^2, so lr / 0.1 * atan2(0.1 g, |g|) = 0.997 lr sign(g).
    parameter = nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3.0, -1e-6])
    AdamATan2([parameter], lr=1.0, weight_decay=0.0).step()
    torch.testing.assert_close(parameter.detach(), torch.tensor([-0.99669, 0.99669]), atol=1e-4, rtol=0)


def test_zero_gradient_moves_nothing_and_is_finite() -> None:
    parameter = nn.Parameter(torch.ones(2))
    parameter.grad = torch.zeros(2)
    AdamATan2([parameter], lr=0.1, weight_decay=0.0).step()
    torch.testing.assert_close(parameter.detach(), torch.ones(2))


def test_parameter_without_gradient_is_left_and_counts_for_itself() -> None:
    late, always = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = AdamATan2([late, always], lr=0.1)
    always.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(late.detach(), torch.ones(2))
    late.grad = torch.ones(2)
    optimizer.step()
    assert (optimizer.state[late]["step"], optimizer.state[always]["step"]) == (1, 2)


def test_state_survives_a_plain_file_and_continues_to_the_bit() -> None:
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.randn(5))
    optimizer = AdamATan2([parameter], lr=0.01)
    gradients = torch.randn(6, 5)
    for gradient in gradients[:3]:
        parameter.grad = gradient.clone()
        optimizer.step()
    file = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "parameter": parameter.detach()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    other = nn.Parameter(saved["parameter"].clone())
    continued = AdamATan2([other], lr=0.5)
    continued.load_state_dict(copy.deepcopy(saved["optimizer"]))
    for gradient in gradients[3:]:
        for target, updater in ((parameter, optimizer), (other, continued)):
            target.grad = gradient.clone()
            updater.step()
    assert torch.equal(parameter, other)


def test_adamw_is_that_of_torch_to_the_bit_and_each_goes_on_with_the_state_of_the_other() -> None:
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.ones(5)) for _ in range(2)]
    settings: dict[str, Any] = {"lr": 0.01, "betas": (0.9, 0.95), "weight_decay": 0.3, "fused": True}
    states: list[dict[str, Any]] = []
    for _ in range(2):
        optimizers = [kind([parameter], **settings) for kind, parameter in zip(KINDS, parameters, strict=True)]
        for optimizer, state in zip(optimizers, reversed(states), strict=False):
            optimizer.load_state_dict(state)
        for gradient in torch.randn(3, 5):
            for parameter, optimizer in zip(parameters, optimizers, strict=True):
                parameter.grad = gradient.clone()
                optimizer.step()
                optimizer.zero_grad()
                assert parameter.grad is None
        states = [copy.deepcopy(optimizer.state_dict()) for optimizer in optimizers]
    assert torch.equal(*parameters)
    assert differing(*states) == []


@pytest.mark.parametrize("arguments", [{"lr": -1.0}, {"lr": 1.0, "betas": (0.9, 1.0)}, {"lr": 1.0, "weight_decay": -1}])
def test_impossible_settings_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        AdamATan2([nn.Parameter(torch.zeros(1))], **arguments)


def test_sparse_gradient_is_refused_by_adam_and_dense_by_sign_sgd() -> None:
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(ValueError, match="SignSGD"):
        AdamATan2(table.parameters(), lr=0.1).step()
    table.weight.grad = torch.ones(4, 2)
    with pytest.raises(ValueError, match="sparse"):
        SignSGD(table.weight, weight_decay=0.1).step(0.1)


def test_sign_sgd_sums_equal_rows_and_touches_only_seen_rows() -> None:
    torch.manual_seed(0)
    table = nn.Embedding(6, 3, sparse=True)
    before = table.weight.detach().clone()
    ids = torch.tensor([4, 1, 4, 2])
    slopes = torch.tensor([[1.0, 2.0, -1.0], [1.0, 1.0, 1.0], [1.0, -5.0, 1.0], [0.0, -1.0, 0.0]])
    (table(ids) * slopes).sum().backward()
    SignSGD(table.weight, weight_decay=0.5).step(lr=0.1)
    expected = before.clone()
    for row, total in {4: slopes[0] + slopes[2], 1: slopes[1], 2: slopes[3]}.items():
        expected[row] = before[row] * (1 - 0.1 * 0.5) - 0.1 * total.sign()
    torch.testing.assert_close(table.weight.detach(), expected)
    assert torch.equal(table.weight[[0, 3, 5]], before[[0, 3, 5]])


def test_sign_sgd_without_gradient_does_nothing() -> None:
    table = nn.Parameter(torch.ones(2, 2))
    SignSGD(table, weight_decay=0.5).step(lr=0.1)
    assert torch.equal(table.detach(), torch.ones(2, 2))
