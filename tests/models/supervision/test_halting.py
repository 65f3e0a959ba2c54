"""When a row halts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.networks import CASES, make_batch
from trm_cli.models.supervision.halting import decide_halt, exploration_floor

torch.set_num_threads(1)

UNIT = st.floats(0, 1, exclude_max=True, width=32)


@given(
    rows=st.lists(st.tuples(st.integers(1, 20), st.booleans(), UNIT, UNIT), min_size=1, max_size=8),
    halt_max_steps=st.integers(1, 20),
    probability=st.floats(0, 1, width=32),
)
def test_halting_by_the_definition(
    rows: list[tuple[int, bool, float, float]], halt_max_steps: int, probability: float
) -> None:
    steps = torch.tensor([row[0] for row in rows], dtype=torch.int32)
    wants = torch.tensor([row[1] for row in rows])
    draws = torch.tensor([row[2:] for row in rows])
    halted = decide_halt(
        steps, wants, draws, halt_max_steps=halt_max_steps, exploration_probability=probability
    ).tolist()
    for (step, want, u0, u1), got in zip(rows, halted, strict=True):
        if halt_max_steps == 1:
            expected = step >= 1
        else:
            floor = 2 + int(torch.tensor(u1) * (halt_max_steps - 1)) if u0 < probability else 0
            expected = (step >= halt_max_steps or want) and step >= floor
        assert got == expected
        if step >= halt_max_steps:
            assert got, "exploration never goes beyond the last step"


@given(step=st.integers(0, 30), want=st.booleans(), halt_max_steps=st.integers(1, 20))
def test_evaluation_halts_at_the_last_step_alone(step: int, want: bool, halt_max_steps: int) -> None:
    halted = decide_halt(
        torch.tensor([step], dtype=torch.int32),
        torch.tensor([want]),
        None,
        halt_max_steps=halt_max_steps,
        exploration_probability=1.0,
    )
    assert halted.item() == (step >= halt_max_steps)


@given(u0=UNIT, u1=UNIT, halt_max_steps=st.integers(2, 64))
def test_exploration_floor_lies_in_its_range(u0: float, u1: float, halt_max_steps: int) -> None:
    floor = exploration_floor(torch.tensor([[u0, u1]]), 0.5, halt_max_steps).item()
    assert floor == 0 if u0 >= 0.5 else 2 <= floor <= halt_max_steps


def test_exploration_floor_is_uniform() -> None:
    grid = (torch.arange(15_000) + 0.5) / 15_000
    floor = exploration_floor(torch.stack((torch.zeros_like(grid), grid), 1), 1.0, 16)
    assert floor.unique(return_counts=True)[1].tolist() == [1000] * 15


def test_draws_of_another_shape_are_refused() -> None:
    steps = torch.ones(3, dtype=torch.int32)
    with pytest.raises(ValueError, match=r"\(3, 2\)"):
        decide_halt(steps, steps > 0, torch.rand(3, 1), halt_max_steps=4, exploration_probability=0.1)


@pytest.mark.parametrize("name", CASES)
def test_evaluation_runs_exactly_halt_max_steps(name: str) -> None:
    model = CASES[name].model()
    with torch.no_grad():
        model.q_head.bias.copy_(torch.tensor([50.0, -50.0]))  # would halt at once if it were asked
        carry, steps = model.initial_carry(make_batch(0)), 0
        while True:
            carry, _ = model.advance(carry, make_batch(0))
            steps += 1
            if carry.halted.all():
                break
            assert not carry.halted.any()
    assert steps == model.halt_max_steps


def test_depth_beyond_training_goes_on_when_rows_are_marked_running() -> None:
    model = CASES["attention"].model()
    carry = model.initial_carry(make_batch(0))
    with torch.no_grad():
        for _ in range(6):
            carry, _ = model.advance(carry, make_batch(0))
            carry = replace(carry, halted=torch.zeros_like(carry.halted))
    assert carry.steps.tolist() == [6] * 5
