from __future__ import annotations

from decimal import Decimal, getcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trm_cli.schedule import steps

RATIOS = ["0", "1e-9", "0.001", "0.29", "0.57", "0.58", "0.99", "1"]


@pytest.mark.parametrize("ratio", RATIOS)
def test_a_boundary_is_the_floor_of_the_written_decimal(ratio: str) -> None:
    getcontext().prec = 60
    for total in range(1, 201):
        oracle = int((Decimal(total) * Decimal(ratio)).to_integral_value(rounding="ROUND_FLOOR"))
        assert steps.boundary(total, ratio) == oracle
        assert steps.boundary(total, float(ratio)) == oracle
        assert steps.boundary(total, Decimal(ratio)) == oracle


def test_binary_floats_would_lose_a_step() -> None:
    assert [int(100 * ratio) for ratio in (0.29, 0.57, 0.58)] == [28, 56, 57]
    assert [steps.boundary(100, ratio) for ratio in (0.29, 0.57, 0.58)] == [29, 57, 58]


def test_sudoku_counts_of_the_published_run() -> None:
    samples = steps.samples_per_epoch(1000, 1.0)
    assert steps.total_steps(samples, 768, 50_000, "whole_run") == 65_104
    assert steps.total_steps(samples, 768, 50_000, "per_epoch") == 50_000


def test_arc_mean_is_the_quotient_of_its_counts() -> None:
    # 960 groups with 3,988 pairs: the mean went through a double in dataset.json.
    mean = 3988 / 960
    assert steps.samples_per_epoch(960, mean) == 3988
    assert steps.samples_per_epoch(960, str(mean)) == 3988
    assert steps.samples_per_epoch(960, Decimal(str(mean))) == 3988


@given(st.integers(1, 10**6), st.integers(1, 2000), st.integers(1, 10**6))
def test_a_mean_that_went_through_a_double_comes_back(puzzles: int, mean: int, extra: int) -> None:
    examples = puzzles * mean + extra % puzzles
    assert steps.mean_as_quotient(examples / puzzles) == Fraction(examples, puzzles)


@given(
    st.fractions(min_value=Fraction(1, 50), max_value=10**6, max_denominator=1000),
    st.integers(1, 5000),
    st.integers(1, 5000),
)
def test_both_rules_against_fractions(samples: Fraction, batch: int, epochs: int) -> None:
    per_epoch = max(1, (samples.numerator // (samples.denominator * batch))) * epochs
    whole = max(1, samples.numerator * epochs // (samples.denominator * batch))
    assert steps.total_steps(samples, batch, epochs, "per_epoch") == per_epoch
    assert steps.total_steps(samples, batch, epochs, "whole_run") == whole


@given(st.fractions(1, 1000, max_denominator=9), st.integers(1, 100), st.sampled_from(steps.ROUNDINGS), st.data())
def test_every_step_belongs_to_one_epoch(
    samples: Fraction, batch: int, rounding: steps.Rounding, data: st.DataObject
) -> None:
    epochs = data.draw(st.integers(1, 20))
    total = steps.total_steps(samples, batch, epochs, rounding)
    step = data.draw(st.integers(1, total))
    epoch = steps.epoch_of_step(step, samples, batch, rounding)
    assert 0 <= epoch < epochs or (samples * epochs < batch and epoch == 0)
    assert steps.step_of_epoch(epoch, samples, batch, rounding) <= step
    if rounding == "per_epoch":
        assert step <= steps.step_of_epoch(epoch + 1, samples, batch, rounding)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: steps.samples_per_epoch(0, 1.0), "nothing to train on"),
        (lambda: steps.samples_per_epoch(5, float("nan")), "not a finite number"),
        (lambda: steps.samples_per_epoch(5, float("inf")), "not a finite number"),
        (lambda: steps.samples_per_epoch(5, "many"), "not a finite number"),
        (lambda: steps.steps_per_epoch(10, 0), "global_batch_size is 0"),
        (lambda: steps.total_steps(10, 2, 0, "per_epoch"), "epochs is 0"),
        (lambda: steps.total_steps(10, 2, 1, "nearest"), "step_rounding is 'nearest'"),  # type: ignore[arg-type]
        (lambda: steps.epoch_of_step(0, 10, 2, "per_epoch"), "step is 0"),
    ],
)
def test_what_cannot_be_counted_is_explained(call: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        call()  # type: ignore[operator]
