"""Depths that grow in stages, and an average that begins late."""

from __future__ import annotations

import pytest

from trm_cli.config.compose import compose
from trm_cli.config.make_plan import make_plan
from trm_cli.models.networks.trm import TrmConfig
from trm_cli.schedule.clock import SETTLED
from trm_cli.schedule.plan import DatasetCounts, TrainingPlan


def _plan(*words: str, total: int = 100) -> TrainingPlan:
    config = compose("sudoku-4x4", ["global_batch_size=10", "epochs=1", *words]).config
    return make_plan(config, DatasetCounts(10 * total, 1.0, "test"))


def _changes(plan: TrainingPlan, name: str) -> list[tuple[int, float]]:
    found: list[tuple[int, float]] = []
    for step in range(1, plan.total_steps + 1):
        value = plan.record_at(step)[name]
        if not found or found[-1][1] != value:
            found.append((step, value))
    return found


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (1, 2, [(1, 1), (40, 2)]),
        (1, 3, [(1, 1), (20, 2), (60, 3)]),
        (1, 4, [(1, 1), (20, 2), (40, 3), (60, 4)]),
        (1, 10, [(1, 1), (20, 4), (40, 7), (60, 10)]),
        (6, 3, [(1, 6), (20, 5), (40, 4), (60, 3)]),
        (2, 2, [(1, 2)]),
    ],
)
def test_a_depth_grows_in_at_most_four_stages(start: int, end: int, expected: list[tuple[int, int]]) -> None:
    plan = _plan(f"arch.H_cycles={end}", f"arch.H_cycles_start={start}", "arch.depth_anneal_ratio=0.6")
    assert _changes(plan, "H_cycles") == expected


def test_all_depths_change_at_the_same_steps() -> None:
    words = ("arch.H_cycles=3", "arch.H_cycles_start=1", "arch.L_cycles=6", "arch.L_cycles_start=2",
             "arch.halt_max_steps=16", "arch.halt_max_steps_start=4")  # fmt: skip
    plan = _plan(*words)
    values = [plan.values_at(step) for step in range(1, 101)]
    assert len({(one.H_cycles, one.L_cycles, one.halt_max_steps) for one in values}) <= 4
    assert (values[-1].H_cycles, values[-1].L_cycles, values[-1].halt_max_steps) == (3, 6, 16)


@pytest.mark.parametrize("total", [1, 2, 3, 7])
@pytest.mark.parametrize("ratio", [0, 0.01, 0.5, 1])
def test_the_shortest_runs_end_at_full_depth(total: int, ratio: float) -> None:
    words = ("arch.H_cycles=3", "arch.H_cycles_start=1", f"arch.depth_anneal_ratio={ratio}", "ema_start_ratio=0.3")
    plan = _plan(*words, total=total)
    assert plan.values_at(total).H_cycles == 3
    assert TrainingPlan.from_json(plan.to_json()) == plan


def test_a_plan_without_them_is_what_it_was() -> None:
    assert {quantity.name for quantity in _plan().quantities} == {"lr"}
    assert _plan().fingerprint() == _plan("arch.depth_anneal_ratio=0.9").fingerprint()


def test_an_average_begins_at_its_share_of_the_run() -> None:
    plan = _plan("ema_start_ratio=0.3")
    assert _changes(plan, "averaging") == [(1, 0.0), (30, 1.0)]
    assert "averaging" not in {quantity.name for quantity in _plan("ema_start_ratio=0.3", "ema=false").quantities}


def test_a_step_has_the_depth_of_its_clock_and_an_evaluation_the_whole() -> None:
    config = TrmConfig(H_cycles=3, L_cycles=6, H_cycles_start=1, L_cycles_start=2)
    plan = _plan("arch.H_cycles=3", "arch.H_cycles_start=1", "arch.L_cycles=6", "arch.L_cycles_start=2")
    early = config.at(plan.values_at(1))
    assert (early.H_cycles, early.L_cycles, early.halt_max_steps) == (1, 2, 16)
    assert config.at(SETTLED) is config
