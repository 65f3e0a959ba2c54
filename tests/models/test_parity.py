"""Every network against the independent reference: outputs, losses, halting, and ten optimizer steps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.models import reference_networks as reference
from tests.models.cases import CASES, Case, make_batch
from trm_cli.models.puzzle_model import PuzzleModel
from trm_cli.training.ema import EMA
from trm_cli.training.optimizers.adam_atan2 import AdamATan2
from trm_cli.training.optimizers.sign_sgd import SignSGD

torch.set_num_threads(1)

ROWS, STEPS = 4, 10
RATE, TABLE_RATE, DECAY, TABLE_DECAY, AVERAGE = 2e-3, 1e-2, 0.1, 0.3, 0.9
TOLERANCE = {"float64": 1e-8, "float32": 1e-4}
# Both token mixers, both halting rules, every family; the remaining kinds differ in one line each.
MAIN = ("attention", "mlp_t", "attention_continue", "mlp_t_continue", "hrm", "transformer")
ALL = [pytest.param(name, marks=() if name in MAIN else pytest.mark.slow) for name in CASES]


def _split(batch: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    return [{name: value[i] for name, value in batch.items()} for i in range(ROWS)]


def _reference_start(model: PuzzleModel) -> tuple[dict[str, Tensor], reference.Rows]:
    p = {name: value.detach().double().clone() for name, value in model.state_dict().items()}
    z = {name: torch.zeros(()) for name in model.state_names}
    return p, reference.Rows([z] * ROWS, [0] * ROWS, [True] * ROWS, [{}] * ROWS)


@pytest.mark.parametrize(
    ("name", "dtype"), [(name, "float64") for name in CASES] + [(name, "float32") for name in ("attention", "mlp_t")]
)
def test_evaluation_equals_the_reference(name: str, dtype: str) -> None:
    model, shape = CASES[name].model(dtype), CASES[name].shape()
    p, rows = _reference_start(model)
    batch = make_batch(0, ROWS, unlabelled=2)
    carry = model.initial_carry(batch)
    tolerance = {"rtol": TOLERANCE[dtype], "atol": TOLERANCE[dtype]}
    with torch.no_grad():
        for step in range(1, model.halt_max_steps + 1):
            result = model(carry, batch)
            carry = result.carry
            rows, loss, metrics, outputs = reference.supervise(rows, _split(batch), p, shape, None)
            for i, (logits, q_halt, q_continue) in enumerate(outputs):
                torch.testing.assert_close(result.outputs.logits[i].double(), logits, **tolerance)
                torch.testing.assert_close(result.outputs.q_halt[i].double(), q_halt, **tolerance)
                torch.testing.assert_close(result.outputs.q_continue[i].double(), q_continue, **tolerance)
            assert result.loss.item() == pytest.approx(loss.item(), rel=TOLERANCE[dtype])
            assert carry.halted.tolist() == rows.halted == [step == model.halt_max_steps] * ROWS
            assert {k: v.item() for k, v in result.metrics.items()} == pytest.approx(metrics, rel=1e-6)


class _Twin:
    """The library's model and the reference, trained side by side on the same rows and draws."""

    def __init__(self, case: Case, dtype: str) -> None:
        self.model, self.shape = case.model(dtype), case.shape()
        p, self.rows = _reference_start(self.model)
        self.trainer = reference.Trainer(p, DECAY, TABLE_DECAY, AVERAGE)
        self.optimizer = AdamATan2(self.model.trunk_parameters(), lr=0.0, weight_decay=DECAY)
        table = self.model.puzzle_embedding
        self.table = None if table is None else SignSGD(table.weight, weight_decay=TABLE_DECAY)
        self.average = EMA(self.model, AVERAGE)
        self.carry = self.model.initial_carry(make_batch(0, ROWS))

    def step(self, number: int) -> tuple[Tensor, Tensor, dict[str, float], dict[str, float]]:
        batch = make_batch(number, ROWS, unlabelled=number % ROWS if number % 3 == 0 else None)
        draws = torch.rand(ROWS, 2, generator=torch.Generator().manual_seed(100 + number), dtype=torch.float64)
        rate = RATE * min(1.0, number / 3)
        result = self.model(self.carry, batch, None, draws)
        (result.loss / ROWS).backward()
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.table is not None:
            self.table.step(TABLE_RATE)
            self.table.zero_grad()
        self.average.update()
        self.carry = result.carry

        leaves = {name: value.clone().requires_grad_() for name, value in self.trainer.p.items()}
        pairs = [(a, b) for a, b in draws.tolist()]
        self.rows, loss, metrics, _ = reference.supervise(self.rows, _split(batch), leaves, self.shape, pairs)
        seen = {int(row["puzzle_identifiers"]) for row in self.rows.data}
        self.trainer.step(loss / ROWS, leaves, seen, rate, TABLE_RATE)
        return result.loss, loss, {k: v.item() for k, v in result.metrics.items()}, metrics


@pytest.mark.parametrize("name", ALL)
def test_ten_training_steps_equal_the_reference(name: str) -> None:
    twin = _Twin(CASES[name], "float64")
    halts, mixed = 0, False
    for number in range(1, STEPS + 1):
        loss, expected, metrics, expected_metrics = twin.step(number)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-8), number
        assert metrics == pytest.approx(expected_metrics, rel=1e-6), number
        assert twin.carry.steps.tolist() == twin.rows.steps
        assert twin.carry.halted.tolist() == twin.rows.halted
        for i in range(ROWS):
            assert torch.equal(twin.carry.data["inputs"][i], twin.rows.data[i]["inputs"])
            for state, value in twin.carry.z.items():
                torch.testing.assert_close(value[i], twin.rows.z[i][state], rtol=1e-6, atol=1e-6)
        halts += sum(twin.rows.halted)
        mixed |= 0 < sum(twin.rows.halted) < ROWS
    assert halts > 3, "rows must halt and be filled again, or this test shows little"
    assert mixed, "some rows must go on while others halt"
    for key, value in twin.model.state_dict().items():
        torch.testing.assert_close(value, twin.trainer.p[key], rtol=1e-6, atol=1e-7, msg=lambda m, k=key: f"{k}: {m}")
    for key, value in twin.average.state_dict().items():
        torch.testing.assert_close(value, twin.trainer.average[key], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["attention", "mlp_t"])
def test_float32_training_stays_at_the_reference(name: str) -> None:
    """Float32 cannot follow the sign of a vanishing gradient, so single weights may differ; the rest may not."""
    twin = _Twin(CASES[name], "float32")
    for number in range(1, STEPS + 1):
        loss, expected, metrics, expected_metrics = twin.step(number)
        assert loss.item() == pytest.approx(expected.item(), rel=2e-4), number
        assert metrics == pytest.approx(expected_metrics, rel=1e-5), number
    for key, value in twin.model.state_dict().items():
        difference = (value.double() - twin.trainer.p[key]).abs()
        # 1 % of a ten-step walk on average: noise in the rounding of near-zero gradients alone.
        assert difference.mean().item() < 0.01 * STEPS * RATE, key
