"""Sums become means: losses over all rows of the updates, accuracies over the rows that halted."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from trm_cli.training.step import drain


def sums(**values: float) -> SimpleNamespace:
    tensors = {name.replace("__", "/"): torch.tensor(value) for name, value in values.items()}
    return SimpleNamespace(sums=tensors, step=7)


def test_each_sum_is_divided_by_what_it_was_summed_over() -> None:
    state = sums(
        updates=4.0,
        scored=4.0,
        applied=4.0,
        loss__loss=64.0,
        loss__lm_loss=48.0,
        halted__count=5.0,
        halted__exact_accuracy=2.0,
    )
    averaged = drain(state, 8)  # type: ignore[arg-type]
    assert averaged.updates == 4
    assert averaged.means == {"halted": 1.25, "loss": 2.0, "lm_loss": 1.5, "exact_accuracy": 0.4, "skipped": 0}
    assert state.sums == {}


def test_without_a_halted_row_there_is_no_accuracy() -> None:
    averaged = drain(sums(updates=1.0, scored=1.0, loss__loss=1.0, halted__count=0.0, halted__accuracy=0.0), 1)  # type: ignore[arg-type]
    assert averaged.means["accuracy"] is None


def test_updates_that_changed_no_weight_are_counted_and_left_out_of_the_means() -> None:
    state = sums(
        updates=5.0,
        scored=4.0,
        applied=2.0,
        loss__loss=64.0,
        applied__grad_norm=3.0,
        halted__count=2.0,
        halted__steps=6.0,
    )
    averaged = drain(state, 8)  # type: ignore[arg-type]
    assert averaged.updates == 5
    assert averaged.means == {"halted": 0.5, "loss": 2.0, "skipped": 3, "grad_norm": 1.5, "steps": 3.0}


def test_without_a_finite_loss_there_is_no_mean() -> None:
    averaged = drain(sums(updates=2.0), 8)  # type: ignore[arg-type]
    assert averaged.means == {"halted": None, "loss": None, "skipped": 2}
