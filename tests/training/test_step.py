"""Sums become means: losses over all rows of the updates, accuracies over the rows that halted."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from trm_cli.errors import TrmError
from trm_cli.training.step import drain


def sums(**values: float) -> SimpleNamespace:
    tensors = {name.replace("__", "/"): torch.tensor(value) for name, value in values.items()}
    return SimpleNamespace(sums=tensors, step=7)


def test_each_sum_is_divided_by_what_it_was_summed_over() -> None:
    state = sums(updates=4.0, loss__loss=64.0, loss__lm_loss=48.0, halted__count=5.0, halted__exact_accuracy=2.0)
    averaged = drain(state, 8)  # type: ignore[arg-type]
    assert averaged.updates == 4
    assert averaged.means == {"halted": 1.25, "loss": 2.0, "lm_loss": 1.5, "exact_accuracy": 0.4}
    assert state.sums == {}


def test_without_a_halted_row_there_is_no_accuracy() -> None:
    averaged = drain(sums(updates=1.0, loss__loss=1.0, halted__count=0.0, halted__accuracy=0.0), 1)  # type: ignore[arg-type]
    assert averaged.means["accuracy"] is None


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_named_with_its_update(loss: float) -> None:
    with pytest.raises(TrmError, match="after update 7"):
        drain(sums(updates=1.0, loss__loss=loss, halted__count=0.0), 1)  # type: ignore[arg-type]
