"""Cells that nothing needs are left out on a processor: the numbers are those of whole boards."""

from __future__ import annotations

import pytest
import torch

from tests.support.capsules import KINDS, Run, Values, make, make_batch, make_draws
from trm_cli.models.hesc.rows import layout
from trm_cli.models.hesc.rows.boards import Packed, by_size, needed_cells, packed
from trm_cli.models.hesc.rows.kinds import Kind


def _whole(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(layout, "_packs", lambda rows, extent: False)


@pytest.mark.parametrize("kinds", [(Kind.GRID,), KINDS])
def test_a_training_step_is_that_of_whole_boards(kinds: tuple[Kind, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of 24 rows in three groups: losses, gradients and carry. Pairs are packed as well."""
    found = []
    for whole in (False, True):
        if whole:
            _whole(monkeypatch)
        parts = {"enable_dqn": False, "enable_expansion": False}
        model = make(**parts, pair_cells=True, demonstration_loss_weight=1.0)
        carry = model.initial_carry(make_batch(24, kinds=kinds))
        for k in range(2):
            batch = make_batch(24, seed=k, kinds=kinds)
            result = model(carry, batch, Values(), make_draws(model, 24, k))
            carry = result.carry
        result.loss.backward()
        gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
        found.append((result.loss, carry.z["z_H"], result.outputs.q_halt, gradients))
    (loss, slots, halting, gradients), (wanted_loss, wanted_slots, wanted_halting, wanted) = found
    torch.testing.assert_close(loss, wanted_loss, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(slots, wanted_slots, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(halting, wanted_halting, rtol=1e-4, atol=1e-5)
    assert gradients.keys() == wanted.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-3, atol=1e-5, msg=name)


def test_an_evaluation_answers_what_whole_boards_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A grid without labels is asked for every cell of the board."""
    model = Run(make(), rows=4).model.eval()
    batch = make_batch(4, kinds=(Kind.GRID,))
    batch["target"][0] = -100
    scores = []
    for whole in (False, True):
        if whole:
            _whole(monkeypatch)
        with torch.inference_mode():
            scores.append(model.advance(model.initial_carry(batch), batch)[1].logits)
    asked = batch["target"] != -100
    asked[0] = True
    torch.testing.assert_close(scores[0][asked], scores[1][asked], rtol=1e-4, atol=1e-5)


def test_cells_are_taken_and_put_back_where_they_were() -> None:
    cells = torch.tensor([[1, 2, 0, 3, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0]])
    target = torch.tensor([[-100, -100, 5, -100, -100, -100, -100, -100, -100], [7, *[-100] * 8]])
    needed = needed_cells(cells, target, -100)
    assert needed.sum(1).tolist() == [4, 1]
    some = packed(needed)
    assert some.where[0].tolist() == [0, 1, 2, 3] and len(set(some.where[1].tolist())) == 4
    assert some.take(cells)[0].tolist() == [1, 2, 0, 3]
    assert torch.equal(some.put(some.take(cells)), cells)
    larger = Packed(some.where, 3).on(5)
    assert larger.where[0].tolist() == [0, 1, 2, 5]


def test_groups_hold_rows_of_similar_size() -> None:
    needed = torch.arange(9)[None] < torch.tensor([9, 1, 5, 2, 8, 4])[:, None]
    groups = [group.tolist() for group in by_size(needed, 2, 3)]
    assert groups == [[1, 3], [5, 2], [4, 0]]
    assert len(by_size(needed, 8, 3)) == 1
