"""Tests of differences, against scipy and against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trm_cli.evaluation.scores import paired

COUNTS = st.integers(0, 300)
#: Whole numbers, whose sums are exact: then scipy and we see the same ties.
SHARES = st.integers(0, 60)


@given(COUNTS, COUNTS)
def test_mcnemar_is_the_binomial_test_of_the_puzzles_that_one_alone_has_right(b: int, c: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    wanted = stats.binomtest(min(b, c), b + c, 0.5).pvalue if b + c else 1.0
    assert paired.mcnemar(b, c) == pytest.approx(wanted, rel=1e-9)
    assert paired.mcnemar(b, c) == paired.mcnemar(c, b)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 10, 30, 99])
@pytest.mark.parametrize("probability", [0.6, 0.9, 0.975, 0.9995])
def test_quantiles_of_students_t(freedom: int, probability: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert paired.t_quantile(probability, freedom) == pytest.approx(stats.t.ppf(probability, freedom), rel=1e-7)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8))
def test_the_interval_of_a_mean(values: list[float]) -> None:
    stats = pytest.importorskip("scipy.stats")
    found = paired.t_interval(values)
    assert found is not None
    spread = stats.sem(values)
    wanted = stats.t.interval(0.95, len(values) - 1, np.mean(values), spread) if spread > 0 else [np.mean(values)] * 2
    assert found == pytest.approx(tuple(wanted), abs=1e-9)


def test_of_one_run_there_is_no_interval() -> None:
    assert paired.t_interval([0.5]) is None and paired.bootstrap_interval([0.5]) is None


@settings(max_examples=30)
@given(st.lists(SHARES, min_size=2, max_size=5), st.lists(SHARES, min_size=2, max_size=5))
def test_the_permutation_test_is_exact_for_a_few_runs(first: list[float], second: list[float]) -> None:
    stats = pytest.importorskip("scipy.stats")
    wanted = stats.permutation_test(
        (first, second),
        lambda a, b: abs(sum(a) * len(second) - sum(b) * len(first)),
        alternative="greater",
        n_resamples=np.inf,
    )
    assert paired.permutation_test(first, second) == pytest.approx(wanted.pvalue, abs=1e-9)


def test_three_seeds_beside_three_cannot_show_less_than_a_tenth() -> None:
    assert paired.permutation_test([0.1, 0.2, 0.3], [0.7, 0.8, 0.9]) == pytest.approx(0.1)


def test_a_bootstrap_interval_is_that_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(0).normal(0.8, 0.05, 12)
    wanted = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, random_state=1)
    found = paired.bootstrap_interval(list(values))
    assert found == pytest.approx(tuple(wanted.confidence_interval), abs=2e-3)


@given(st.integers(1, 500), st.data())
def test_a_difference_lies_in_its_interval(count: int, data: st.DataObject) -> None:
    b = data.draw(st.integers(0, count))
    c = data.draw(st.integers(0, count - b))
    value, low, high = paired.paired_difference(b, c, count)
    assert value == pytest.approx((c - b) / count)
    assert -1 <= low <= value <= high <= 1
    if b == c == 0:
        assert low == high == 0
