"""Every network against the independent reference: outputs, losses, halting, and twenty optimizer steps.

Each architecture, both halting rules where it has both, in float64 (where the two agree to ten digits) and in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import Tensor

from tests.support import reference_networks as reference
from tests.support.networks import CASES, Case, make_batch
from tests.support.selection import slow_but
from trm_cli.models.networks.shared.token_network import TokenNetwork
from trm_cli.schedule.clock import SETTLED
from trm_cli.training.optimizers.adam_atan2 import AdamATan2
from trm_cli.training.optimizers.sign_sgd import SignSGD
from trm_cli.training.state.ema import EMA

torch.set_num_threads(1)

ROWS, STEPS = 3, 20
RATE, TABLE_RATE, DECAY, TABLE_DECAY, AVERAGE = 1e-3, 1e-2, 0.1, 0.3, 0.9
TOLERANCE = {"float64": 1e-8, "float32": 1e-4}
EVERY = [(name, dtype) for name in CASES for dtype in TOLERANCE]
#: The loss of going on is the same code in every network: one of them is enough each time.
EXACT = [(name, "float64") for name in CASES if name == "attention_continue" or not name.endswith("_continue")]


def _split(batch: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    return [{name: value[i] for name, value in batch.items()} for i in range(ROWS)]


def _reference_start(model: TokenNetwork) -> tuple[dict[str, Tensor], reference.Rows]:
    p = {name: value.detach().double().clone() for name, value in model.state_dict().items()}
    z = {name: torch.zeros(()) for name in model.config.states}
    return p, reference.Rows([z] * ROWS, [0] * ROWS, [True] * ROWS, [{}] * ROWS)


@pytest.mark.parametrize(("name", "dtype"), slow_but(EVERY, *EXACT, ("attention", "float32")))
def test_evaluation_equals_the_reference(name: str, dtype: str) -> None:
    model, shape = CASES[name].model(dtype), CASES[name].shape()
    p, rows = _reference_start(model)
    batch = make_batch(0, ROWS, unlabelled=2)
    carry = model.initial_carry(batch)
    tolerance = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    with torch.no_grad():
        for step in range(1, model.halt_max_steps + 1):
            result = model(carry, batch, SETTLED, None)
            carry = result.carry
            rows, loss, metrics, outputs = reference.supervise(rows, _split(batch), p, shape, None)
            for i, (logits, q_halt, q_continue) in enumerate(outputs):
                torch.testing.assert_close(result.outputs.logits[i].double(), logits, **tolerance)
                torch.testing.assert_close(result.outputs.q_halt[i].double(), q_halt, **tolerance)
                torch.testing.assert_close(result.outputs.q_continue[i].double(), q_continue, **tolerance)
            assert result.loss.item() == pytest.approx(loss.item(), rel=TOLERANCE[dtype])
            assert carry.halted.tolist() == rows.halted == [step == model.halt_max_steps] * ROWS
            assert {k: v.item() for k, v in result.metrics["halted"].items()} == pytest.approx(metrics, rel=1e-6)


def _batch(number: int) -> tuple[dict[str, Tensor], Tensor, float]:
    """Rows [ROWS, ...], draws [ROWS, 2] and learning rate of update `number`."""
    batch = make_batch(number, ROWS, unlabelled=number % ROWS if number % 3 == 0 else None)
    draws = torch.rand(ROWS, 2, generator=torch.Generator().manual_seed(100 + number), dtype=torch.float64)
    return batch, draws, RATE * min(1.0, number / 3)


@dataclass(frozen=True)
class _Walk:
    """What the reference says about twenty updates: after each one, and the weights at the end."""

    losses: list[float]
    metrics: list[dict[str, float]]
    rows: list[reference.Rows]
    weights: dict[str, Tensor]
    average: dict[str, Tensor]


@cache
def _reference_walk(name: str) -> _Walk:
    case = CASES[name]
    shape = case.shape()
    p, rows = _reference_start(case.model())
    trainer = reference.Trainer(p, DECAY, TABLE_DECAY, AVERAGE)
    walk = _Walk([], [], [], trainer.p, trainer.average)
    for number in range(1, STEPS + 1):
        batch, draws, rate = _batch(number)
        leaves = {key: value.clone().requires_grad_() for key, value in trainer.p.items()}
        pairs = [(a, b) for a, b in draws.tolist()]
        rows, loss, metrics, _ = reference.supervise(rows, _split(batch), leaves, shape, pairs)
        seen = {int(row["puzzle_identifiers"]) for row in rows.data}
        trainer.step(loss / ROWS, leaves, seen, rate, TABLE_RATE)
        walk.losses.append(loss.item())
        walk.metrics.append(metrics)
        walk.rows.append(rows)
    return walk


class _Trainee:
    """The library's model with the library's optimizers."""

    def __init__(self, case: Case, dtype: str) -> None:
        self.model = case.model(dtype)
        self.optimizer = AdamATan2(self.model.trunk_parameters(), lr=0.0, weight_decay=DECAY)
        table = self.model.puzzle_embedding
        self.table = None if table is None else SignSGD(table.weight, weight_decay=TABLE_DECAY)
        self.average = EMA(self.model, AVERAGE)
        self.carry = self.model.initial_carry(make_batch(0, ROWS))

    def step(self, number: int) -> tuple[float, dict[str, float]]:
        batch, draws, rate = _batch(number)
        result = self.model(self.carry, batch, SETTLED, draws)
        (result.loss / ROWS).backward()
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.table is not None:
            self.table.step(TABLE_RATE)
            self.table.zero_grad()
        self.average.update()
        self.carry = result.carry
        return result.loss.item(), {key: value.item() for key, value in result.metrics["halted"].items()}


@pytest.mark.parametrize(("name", "dtype"), slow_but(EVERY, *EXACT, ("attention", "float32")))
def test_twenty_training_steps_equal_the_reference(name: str, dtype: str) -> None:
    walk, trainee = _reference_walk(name), _Trainee(CASES[name], dtype)
    for number in range(1, STEPS + 1):
        loss, metrics = trainee.step(number)
        rows = walk.rows[number - 1]
        assert loss == pytest.approx(walk.losses[number - 1], rel=TOLERANCE[dtype]), number
        assert metrics == pytest.approx(walk.metrics[number - 1], rel=1e-5), number
        assert trainee.carry.steps.tolist() == rows.steps
        assert trainee.carry.halted.tolist() == rows.halted
        for i in range(ROWS):
            assert torch.equal(trainee.carry.data["inputs"][i], rows.data[i]["inputs"])
            assert torch.equal(trainee.carry.data["puzzle_identifiers"][i], rows.data[i]["puzzle_identifiers"])
            if dtype == "float64":
                for state, value in trainee.carry.z.items():
                    torch.testing.assert_close(value[i], rows.z[i][state], rtol=1e-6, atol=1e-6)
    weights = {**trainee.model.state_dict(), **{f"average {k}": v for k, v in trainee.average.state_dict().items()}}
    expected = {**walk.weights, **{f"average {key}": value for key, value in walk.average.items()}}
    assert weights.keys() == expected.keys()
    for key, value in weights.items():
        difference = (value.double() - expected[key]).abs()
        if dtype == "float64":
            assert difference.max().item() < 1e-6, key
        # Float32 cannot follow the sign of a vanishing gradient, so single weights may differ by the length of the
        # walk; on average they stay within 5 % of it.
        assert difference.mean().item() < 0.05 * STEPS * RATE, key


@pytest.mark.parametrize("name", slow_but(CASES, *(name for name, _ in EXACT)))
def test_the_walk_shows_something(name: str) -> None:
    walk = _reference_walk(name)
    halted = [sum(rows.halted) for rows in walk.rows]
    assert sum(halted) > 3, "rows must halt and be filled again"
    assert any(0 < count < ROWS for count in halted), "some rows must go on while others halt"
    assert len({int(row["puzzle_identifiers"]) for rows in walk.rows for row in rows.data}) > 2
    assert sum(metrics["count"] for metrics in walk.metrics) > 0
