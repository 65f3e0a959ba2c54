"""Intervals and calibration against oracles that do not share their formulas."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trm_cli.evaluation.scores.calibration import calibration, sigmoid
from trm_cli.evaluation.scores.intervals import Z_95, Share, wilson


def by_bisection(share: float, count: int, inside: float, outside: float) -> float:
    """The end of {p: |share - p| <= z sqrt(p (1 - p) / n)} between a p inside and one outside of it."""
    for _ in range(200):
        middle = (inside + outside) / 2
        if abs(share - middle) <= Z_95 * sqrt(middle * (1 - middle) / count):
            inside = middle
        else:
            outside = middle
    return inside


@given(st.integers(1, 500_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_is_the_set_of_shares_that_the_normal_test_accepts(drawn: tuple[int, int]) -> None:
    hits, count = drawn
    low, high = wilson(hits, count)
    share = hits / count
    assert low == pytest.approx(by_bisection(share, count, share, 0.0), abs=1e-9)
    assert high == pytest.approx(by_bisection(share, count, share, 1.0), abs=1e-9)
    assert 0 <= low <= share <= high <= 1


def test_wilson_where_nothing_or_everything_hit() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 10)[0] == 0.0 and wilson(10, 10)[1] == 1.0
    # A textbook value: 8 of 10.
    assert wilson(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    assert Share(0, 0).value is None
    with pytest.raises(ValueError, match="no share"):
        wilson(3, 2)


@given(
    st.integers(0, 40).flatmap(
        lambda n: st.tuples(
            arrays.arrays(np.float32, n, elements=st.floats(-30, 30, width=32)), arrays.arrays(np.bool_, n)
        )
    )
)
def test_calibration_counts_as_a_loop_would(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    q_halt, right = drawn
    made = calibration(q_halt, right)
    groups: dict[int, list[tuple[float, bool]]] = {}
    for q, hit in zip(q_halt.tolist(), right.tolist(), strict=True):
        confidence = float(sigmoid(np.array([q]))[0])
        groups.setdefault(min(int(confidence * 10), 9), []).append((confidence, hit))
    assert [one["right"]["count"] for one in made["bins"]] == [len(groups[key]) for key in sorted(groups)]
    assert [one["right"]["hits"] for one in made["bins"]] == [sum(h for _, h in groups[key]) for key in sorted(groups)]
    if len(right):
        gaps = [abs(sum(c - h for c, h in rows)) for rows in groups.values()]
        assert made["expected_calibration_error"] == pytest.approx(sum(gaps) / len(right), abs=1e-9)
        assert made["accuracy"]["hits"] == sum((q > 0) == h for q, h in zip(q_halt, right, strict=True))
    else:
        assert made["expected_calibration_error"] is None and made["bins"] == []


def test_a_head_that_says_the_truth_has_no_error() -> None:
    q_halt = np.array([40.0, 40.0, -40.0], dtype=np.float32)
    for right, error in (([True, True, False], 0.0), ([False, False, True], 1.0)):
        made = calibration(q_halt, np.array(right))
        assert made["expected_calibration_error"] == pytest.approx(error, abs=1e-9)
