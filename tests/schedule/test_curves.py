from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.schedules import Settings
from trm_cli.schedule.annealing import compute_expansion_penalty, compute_q_temperature, compute_warmup_progress
from trm_cli.schedule.clock import declare_one
from trm_cli.schedule.curves import CURVES, Quantity, Segment
from trm_cli.schedule.declarations import anneal
from trm_cli.schedule.steps import boundary

RATIOS = [0, 1e-9, 0.001, 0.29, 0.57, 0.58, 1]
TABLE = [0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999, 1]


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ("linear", [1, 0.91, 0.775, 0.55, 0.325, 0.19, 0.1009, 0.1]),
        ("cosine", [1, 0.97798, 0.8682, 0.55, 0.2318, 0.12202, 0.1, 0.1]),
    ],
)
def test_values_known_beforehand(curve: str, expected: list[float]) -> None:
    segment = Segment(curve, 1.0, 0.1, 0, 1000)
    assert [segment.at(round(1000 * p)) for p in TABLE] == pytest.approx(expected, abs=5e-6)


def test_expansion_penalty_known_beforehand() -> None:
    values = [compute_expansion_penalty(step, 1000, Settings()) for step in (0, 100, 250, 400, 500)]
    assert values == pytest.approx([0.1, 0.09055, 0.0505, 0.01045, 0.001], abs=5e-6)


def test_the_exponential_curve_arrives_without_a_leap() -> None:
    segment = Segment("exponential", 1.0, 0.1, 0, 1000)
    closed = [1.0 - 0.9 * (1 - math.exp(-5 * s / 1000)) / (1 - math.exp(-5)) for s in range(1001)]
    assert [segment.at(s) for s in range(1001)] == pytest.approx(closed, abs=1e-14)
    assert segment.at(999) - segment.at(1000) < 1e-4  # the curve that is not normalised leaps by 6e-3
    assert CURVES["exponential"](0.5) == pytest.approx(0.92414, abs=5e-6)


@given(
    total=st.integers(1, 200),
    ratio=st.sampled_from(RATIOS),
    curve=st.sampled_from(sorted(CURVES)),
    ends=st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)),
)
def test_every_schedule_is_finite_monotone_and_exact_at_both_ends(
    total: int, ratio: float, curve: str, ends: tuple[float, float]
) -> None:
    start, end = ends
    settings = Settings(
        q_temperature_schedule=curve,
        q_temperature_start=start,
        q_temperature_end=end,
        q_temperature_anneal_ratio=ratio,
    )
    values = [compute_q_temperature(step, total, settings) for step in range(-1, total + 3)]
    last = start if curve == "constant" else end
    reached = boundary(total, ratio)
    assert all(math.isfinite(value) for value in values)
    pairs = list(pairwise(values))
    assert all(a <= b for a, b in pairs) or all(a >= b for a, b in pairs)
    assert values[total + 1 :] == [last] * 3
    assert values[reached + 1] == last
    if reached:
        assert values[:2] == [start, start]


@given(st.integers(1, 200), st.sampled_from(RATIOS), st.sampled_from([0.0, 0.1, 1.0]))
def test_learning_rate_is_the_published_formula(total: int, ratio: float, least: float) -> None:
    base = 1e-4
    quantity = declare_one("lr", Settings(lr=base, lr_warmup_ratio=ratio, lr_min_ratio=least), total)
    warm = boundary(total, ratio)

    def published(step: int) -> float:
        if step < warm:
            return base * step / warm
        progress = (step - warm) / max(1, total - warm)
        return base * (least + max(0.0, (1 - least) * 0.5 * (1.0 + math.cos(math.pi * progress))))

    assert [quantity.at(step) for step in range(1, total + 1)] == pytest.approx(
        [published(step) for step in range(1, total + 1)], rel=1e-12, abs=1e-14 * base
    )
    assert quantity.at(total) == (base if warm == total else base * least)
    assert quantity.at(warm) == base


def test_first_published_rate_is_one_part_in_two_thousand() -> None:
    quantity = declare_one("lr", Settings(lr_warmup_ratio=None, lr_warmup_steps=2000), 65_104)
    assert quantity.at(1) == 1e-4 / 2000
    assert quantity.at(2000) == quantity.at(65_104) == 1e-4


@given(st.integers(1, 10**9), st.data())
def test_long_runs_stay_monotone(total: int, data: st.DataObject) -> None:
    curve = data.draw(st.sampled_from(["linear", "cosine", "exponential"]))
    segment = Segment(curve, 1.0, 0.0, 0, total)
    step = data.draw(st.integers(0, total - 1))
    assert 1.0 >= segment.at(step) >= segment.at(step + 1) >= 0.0


@pytest.mark.parametrize("total", [1000, 100_000])
def test_progress_is_a_share_of_the_global_step(total: int) -> None:
    assert compute_warmup_progress(total // 20, total, Settings(dqn_warmup_ratio=1.0)) == 0.05


def test_global_step_5000_of_100000_is_five_percent_for_every_schedule() -> None:
    whole = {
        "lr_warmup_ratio": 1.0,
        "expansion_anneal_ratio": 1.0,
        "dqn_warmup_ratio": 1.0,
        "epsilon_anneal_ratio": 1.0,
    }
    linear = {"expansion_penalty_schedule": "linear", "q_temperature_schedule": "linear"}
    for name in ("lr", "puzzle_emb_lr", "expansion_penalty", "q_temperature", "epsilon", "dqn_warmup"):
        quantity = declare_one(name, Settings(**whole, **linear), 100_000)  # type: ignore[arg-type]
        (segment,) = quantity.segments
        share = (quantity.at(5_000) - segment.start_value) / (segment.end_value - segment.start_value)
        assert share == pytest.approx(0.05, abs=1e-15)


def test_a_quantity_holds_its_value_between_segments() -> None:
    quantity = Quantity("x", (Segment("linear", 0.0, 1.0, 2, 4), Segment("linear", 1.0, 0.0, 6, 8)))
    assert [quantity.at(step) for step in range(10)] == [0, 0, 0, 0.5, 1, 1, 1, 0.5, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("wavy", 0.0, 1.0, 0, 1), "'wavy' is not a curve"),
        (("linear", 0.0, math.inf, 0, 1), "from 0.0 to inf"),
        (("linear", 0.0, 1.0, 5, 4), "from step 5 to step 4"),
        (("constant", 0.0, 1.0, 0, 4), "A constant"),
    ],
)
def test_impossible_segments_are_refused(arguments: tuple[str, float, float, int, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Segment(*arguments)


def test_overlapping_segments_are_refused() -> None:
    with pytest.raises(ValueError, match="two schedules at step 3"):
        Quantity("x", (Segment("linear", 0.0, 1.0, 0, 4), Segment("linear", 1.0, 0.0, 3, 8)))
    with pytest.raises(ValueError, match="no schedule"):
        Quantity("x", ())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lr_warmup_steps": 5}, "lr_warmup_ratio and lr_warmup_steps say the same thing twice"),
        ({"lr_warmup_ratio": None}, "lr_warmup_ratio is missing"),
        ({"lr_warmup_ratio": 1.5}, "lr_warmup_ratio is 1.5"),
        ({"lr_warmup_ratio": -0.1}, "lr_warmup_ratio is -0.1"),
        ({"lr_warmup_ratio": None, "lr_warmup_steps": -1}, "must not be negative"),
    ],
)
def test_settings_that_make_no_schedule_are_explained(settings: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        declare_one("lr", Settings(**settings), 100)  # type: ignore[arg-type]


def test_a_key_of_the_architecture_decides_a_schedule() -> None:
    declaration = anneal(start="arch.noise_start", end=0.0, ratio="arch.noise_ratio")
    config = SimpleNamespace(arch=SimpleNamespace(noise_start=0.4, noise_ratio=0.5))
    quantity = Quantity("noise", declaration(config, 10))
    assert [quantity.at(step) for step in (0, 5, 10)] == [0.4, 0.0, 0.0]
    assert quantity.segments[0].key == "arch.noise_ratio"
