"""The supervision loop outside of training: every step once, on from the trained depth, and rows that leave."""

from __future__ import annotations

import torch

from tests.support.networks import CASES, make_batch
from trm_cli.models.thinking import think

ROWS = 6


def test_beyond_the_trained_depth_the_same_rows_go_on() -> None:
    model, batch = CASES["attention"].model().eval(), make_batch(1, ROWS)
    steps = list(think(model, batch, steps=model.halt_max_steps + 2))
    assert [step.number for step in steps] == list(range(1, model.halt_max_steps + 3))
    again = [*think(model, batch)]
    assert len(again) == model.halt_max_steps
    for one, other in zip(steps, again, strict=False):
        assert torch.equal(one.outputs.logits, other.outputs.logits)
    assert not torch.equal(steps[0].outputs.logits, steps[model.halt_max_steps].outputs.logits), "they did not restart"


def test_rows_that_want_to_halt_leave_and_the_others_stay_themselves() -> None:
    model, batch = CASES["mlp_t"].model().eval(), make_batch(1, ROWS)
    present = torch.arange(ROWS)
    for step in think(model, batch, policy="bce"):
        assert torch.equal(step.rows, present)
        assert torch.equal(step.batch["inputs"], batch["inputs"][present])
        present = present[~model.wants_halt(step.outputs)]
    assert len(present) < ROWS
