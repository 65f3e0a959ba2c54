"""Early halting with a shrinking batch gives the answers of full depth; depth may go beyond training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.networks import CASES, Case, make_batch
from trm_cli.evaluation.protocol import Protocol
from trm_cli.evaluation.scores.accuracy import evaluate
from trm_cli.evaluation.starts import normal, start
from trm_cli.evaluation.thinking import attempt, wholly_right
from trm_cli.models.networks.shared.token_network import TokenNetwork

DEPTH = 9  # trained for 4
ROWS = 24


def by_hand(model: TokenNetwork, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Answers [S, B, L], q_halt [S, B] and halting wishes [S, B], by a model that was told to go on for longer."""
    model.config = model.config.model_copy(update={"halt_max_steps": DEPTH + 1})
    carry = model.initial_carry(batch)
    answers, q_halt, wants = [], [], []
    for _ in range(DEPTH):
        carry, outputs = model.advance(carry, batch)
        answers.append(model.answer(outputs))
        q_halt.append(outputs.q_halt)
        wants.append(model.wants_halt(outputs))
    return torch.stack(answers), torch.stack(q_halt), torch.stack(wants)


@pytest.mark.parametrize("name", list(CASES))
@torch.inference_mode()
def test_a_row_that_halts_keeps_the_answer_of_full_depth_at_that_step(name: str) -> None:
    batch = make_batch(1, ROWS)
    model = CASES[name].model().eval()
    answers, q_halt, wants = by_hand(CASES[name].model().eval(), batch)
    early = attempt(model, batch, model.initial_carry(batch), steps=DEPTH, policy="bce")
    full = attempt(model, batch, model.initial_carry(batch), steps=DEPTH, policy="full")
    first = torch.where(wants.any(0), wants.int().argmax(0), DEPTH - 1)  # [B], counted from 0
    rows = torch.arange(ROWS)
    # Tokens must be the same ones; values may differ in the last bits, because smaller products round differently.
    np.testing.assert_array_equal(early.steps, (first + 1).numpy())
    np.testing.assert_array_equal(early.answers, answers[first, rows])
    np.testing.assert_allclose(early.q_halt, q_halt[first, rows], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(early.halted_at, ((first + 1) * wants.any(0)).numpy())
    np.testing.assert_array_equal(full.halted_at, early.halted_at)
    np.testing.assert_array_equal(full.answers, answers[-1])
    assert (full.steps == DEPTH).all()
    right = torch.stack([wholly_right(one, batch["labels"]) for one in answers])
    np.testing.assert_array_equal(full.right_after, right.T)
    stopped = np.minimum(np.arange(DEPTH)[None], first.numpy()[:, None])
    np.testing.assert_array_equal(early.right_after, np.take_along_axis(right.T.numpy(), stopped, axis=1))


@torch.inference_mode()
def test_rows_leave_at_different_steps_and_the_batch_shrinks(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = CASES["mlp_t"].model().eval(), make_batch(1, ROWS)
    sizes: list[int] = []
    advance = model.advance

    def counted(carry, rows, **more):  # type: ignore[no-untyped-def]
        sizes.append(rows["inputs"].shape[0])
        return advance(carry, rows, **more)

    monkeypatch.setattr(model, "advance", counted)
    tried = attempt(model, batch, model.initial_carry(batch), steps=DEPTH, policy="bce")
    assert len(set(tried.steps.tolist())) > 1
    assert sizes == [int((tried.steps > step).sum()) for step in range(max(tried.steps))]
    assert sizes[-1] < ROWS


@torch.inference_mode()
def test_full_depth_is_what_training_reports(trained_depth: int = 4) -> None:
    model, batch = CASES["attention"].model().eval(), make_batch(2, ROWS, unlabelled=3)
    tried = attempt(model, batch, model.initial_carry(batch), steps=trained_depth, policy="full")
    arrays = {name: value.numpy() for name, value in batch.items()}
    reported = evaluate(model, [{**arrays, "valid": np.ones(ROWS, bool)}], torch.device("cpu"))
    assert reported.count == ROWS - 1
    assert tried.right_after[:, -1].sum() == round(reported.exact_accuracy * reported.count)
    assert not tried.right_after[3].any()  # nothing was asked


@torch.inference_mode()
def test_a_random_start_depends_on_the_row_and_the_restart_alone() -> None:
    model, batch = Case("trm", CASES["single"].settings).model().eval(), make_batch(3, 6)
    protocol = Protocol(steps=4, restarts=3, seed=5)
    places = np.array([10, 11, 12, 13, 14, 15])
    plain = start(model, batch, places, protocol, 0)
    assert plain.halted.all()
    moved = start(model, batch, places, protocol, 2)
    alone = start(model, {name: value[4:5] for name, value in batch.items()}, places[4:5], protocol, 2)
    assert not moved.halted.any()
    for name, state in moved.z.items():
        assert torch.equal(state[4:5], alone.z[name])
        assert not torch.equal(state[0], state[1])
        assert not torch.equal(state, start(model, batch, places, protocol, 1).z[name])
    # Without noise a moved start is the trained one.
    still = start(model, batch, places, replace(protocol, noise=1e-12), 1)
    attempts = [attempt(model, batch, carry, steps=4, policy="full") for carry in (plain, still)]
    np.testing.assert_array_equal(attempts[0].answers, attempts[1].answers)


def test_the_noise_is_standard_normal() -> None:
    numbers = normal(0, "test", np.arange(200), 500).ravel().astype(np.float64)
    assert abs(numbers.mean()) < 0.02
    assert abs(numbers.std() - 1) < 0.02
    assert abs((np.abs(numbers) < 1).mean() - 0.6827) < 0.01
