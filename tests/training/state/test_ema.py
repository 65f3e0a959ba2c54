"""The average of the weights, and putting it in and out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from trm_cli.training.state.ema import EMA

torch.set_num_threads(1)


class _Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.table = nn.Embedding(3, 2)
        self.register_buffer("start", torch.zeros(2))

    def trunk_parameters(self) -> Iterator[nn.Parameter]:
        yield self.weight


def test_average_follows_the_formula_from_the_initial_weights() -> None:
    model = _Model()
    ema = EMA(model, 0.9)
    shadow = torch.tensor([1.0, 2.0], dtype=torch.float64)
    for step in range(5):
        with torch.no_grad():
            model.weight.add_(step)
        ema.update()
        shadow = 0.9 * shadow + 0.1 * model.weight.detach().double()
    torch.testing.assert_close(ema.state_dict()["weight"].double(), shadow, rtol=1e-6, atol=1e-6)


def test_an_average_that_has_not_begun_is_the_weights() -> None:
    model = _Model()
    ema = EMA(model, 0.9)
    with torch.no_grad():
        model.weight.add_(5)
    ema.update(begun=False)
    assert torch.equal(ema.state_dict()["weight"], model.weight)


def test_average_covers_the_trunk_alone() -> None:
    assert list(EMA(_Model(), 0.9).state_dict()) == ["weight"]


def test_swapped_evaluates_the_average_and_restores_the_raw_weights_to_the_bit() -> None:
    model = _Model()
    ema = EMA(model, 0.5)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([0.1, 0.3]))
    ema.update()
    raw, identity = model.weight.detach().clone(), model.weight.data_ptr()
    with ema.swapped():
        torch.testing.assert_close(model.weight.detach(), torch.tensor([0.55, 1.15]))
    assert torch.equal(model.weight.detach(), raw)
    assert model.weight.data_ptr() == identity
    torch.testing.assert_close(ema.state_dict()["weight"], torch.tensor([0.55, 1.15]))


def test_swapped_restores_after_an_error() -> None:
    model = _Model()
    ema = EMA(model, 0.5)
    with torch.no_grad():
        model.weight.zero_()
    with pytest.raises(RuntimeError, match="in the middle"), ema.swapped():
        raise RuntimeError("in the middle")
    assert torch.equal(model.weight.detach(), torch.zeros(2))


def test_state_goes_into_another_average() -> None:
    first, second = EMA(_Model(), 0.5), EMA(_Model(), 0.5)
    first.load_state_dict({"weight": torch.tensor([7.0, 8.0])})
    second.load_state_dict(first.state_dict())
    assert torch.equal(second.state_dict()["weight"], torch.tensor([7.0, 8.0]))


@pytest.mark.parametrize("state", [{}, {"weight": torch.zeros(3)}, {"weight": torch.zeros(2), "x": torch.zeros(1)}])
def test_state_that_does_not_fit_is_refused(state: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="averaged weight"):
        EMA(_Model(), 0.5).load_state_dict(state)


def test_rate_of_one_would_never_move() -> None:
    with pytest.raises(ValueError, match="rate"):
        EMA(_Model(), 1.0)
