"""Capsules, their children, demonstrations and thoughts: what is hidden, what is shown, and that it matters."""

from __future__ import annotations

import pytest
import torch

from tests.support.capsules import KINDS, TINY, Values, make, make_batch, make_draws
from trm_cli.models.all_ranks import OnlyRank
from trm_cli.models.hesc.config import HescConfig
from trm_cli.models.hesc.control.q_control import Action
from trm_cli.models.hesc.rows.kinds import Kind
from trm_cli.models.hesc.thinking.planner import LatentPlanner, balance, likeness
from trm_cli.models.hesc.thinking.workspace import Checksum
from trm_cli.models.thinking import think

SETTINGS = HescConfig(**TINY)
BOARDS = (Kind.GRID, Kind.PICTURE)


def force(model: torch.nn.Module, action: Action) -> None:
    """Make the Q-network prefer one action whatever the state."""
    with torch.no_grad():
        model.q_network.value.zero_()
        model.q_network.value_bias.copy_(100.0 * torch.nn.functional.one_hot(torch.tensor(int(action)), 3))


def logits(model, batch):
    return [step.outputs.logits for step in think(model.eval(), batch)]


# --- EXPAND ---


def disturb(model):
    """Change what every child reads and where it stands, and nothing else."""
    workspace = model.network.recursion.workspace
    with torch.no_grad():
        workspace.places[SETTINGS.num_registers + SETTINGS.num_capsules :].normal_(std=3.0)


@pytest.mark.parametrize("kinds", [(Kind.GRID,), (Kind.PICTURE,), (Kind.TEXT,)])
def test_what_closed_children_know_is_hidden_from_everything(kinds):
    batch, answers = make_batch(rows=3, kinds=kinds, pairs=0), []
    for change in (False, True):
        model = make()
        force(model, Action.CONTINUE)
        if change:
            disturb(model)
        answers.append(logits(model, batch))
    assert all(torch.equal(one, other) for one, other in zip(*answers, strict=True))


@pytest.mark.parametrize("kinds", [(Kind.GRID,), (Kind.PICTURE,)])
def test_opened_children_change_the_next_step(kinds):
    batch, answers = make_batch(rows=3, kinds=kinds, pairs=0), []
    for change in (False, True):
        model = make()
        force(model, Action.EXPAND)
        if change:
            disturb(model)
        answers.append(logits(model, batch))
    (first, second, _), (same, other, _) = answers
    assert torch.equal(first, same)
    assert ((second - other).abs().amax((1, 2)) > 1e-6).all()


def test_expand_opens_several_at_once_and_costs_more_than_a_step():
    batch, results = make_batch(kinds=BOARDS), {}
    for action in (Action.CONTINUE, Action.EXPAND):
        model = make()
        force(model, action)
        results[action] = model(model.initial_carry(batch), batch, Values(epsilon=0.0), make_draws(model, 6, 0)).carry
    stay, opened = results[Action.CONTINUE].extra, results[Action.EXPAND].extra
    assert opened["opened"].sum(1).tolist() == [2] * 6
    cost = stay["reward"] - opened["reward"]
    torch.testing.assert_close(cost, torch.full((6,), 0.1 * 2 * SETTINGS.children_per_capsule))


def test_a_text_opens_nothing():
    model, batch = make(), make_batch(kinds=KINDS)
    force(model, Action.EXPAND)
    carry = model(model.initial_carry(batch), batch, Values(epsilon=0.0), make_draws(model, 6, 0)).carry
    assert (carry.extra["opened"].any(1) == (batch["kind"] != Kind.TEXT)).all()


def test_a_reset_closes_what_was_expanded():
    model, batch = make(), make_batch(kinds=BOARDS)
    force(model, Action.EXPAND)
    carry = model.initial_carry(batch)
    for k in range(4):
        opened = carry.extra["opened"].sum(1)
        carry = model(carry, batch, Values(epsilon=0.0), make_draws(model, 6, k)).carry
    assert opened.tolist() == [4] * 6
    assert carry.extra["opened"].sum(1).tolist() == [2] * 6


def test_the_checksum_falls_with_what_the_sketch_knows_and_ignores_scale():
    torch.manual_seed(0)
    checksum, sketches, children = Checksum(SETTINGS), torch.randn(2, 4, 32), torch.randn(2, 4, 2, 32)
    detail = checksum.detail(children)
    residual = checksum(sketches, detail, checksum.usual_detail)
    assert residual.shape == (2, 4) and (residual >= 0).all() and (residual <= 2).all()
    torch.testing.assert_close(checksum.detail(3.0 * children), detail, atol=1e-3, rtol=1e-2)
    optimizer = torch.optim.Adam(checksum.signature.parameters(), lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        checksum(sketches, detail, checksum.usual_detail).mean().backward()
        optimizer.step()
    assert checksum(sketches, detail, checksum.usual_detail).mean() < 0.3 * residual.mean()


def test_what_is_usual_moves_before_the_backward_pass_and_not_under_it():
    model, batch = make(), make_batch()
    workspace = model.network.recursion.workspace
    usual = workspace.usual()
    before = usual.clone()
    result = model(model.initial_carry(batch), batch, Values(), make_draws(model, 6, 0))
    assert not torch.equal(workspace.checksum.usual_detail, before) and torch.equal(usual, before)
    result.loss.backward()


# --- Demonstrations ---


def test_pairs_change_the_answer_of_their_own_row_in_every_step():
    model, batch = make(), make_batch(kinds=(Kind.GRID,))
    other = batch | {"pair_cells": batch["pair_cells"].clone()}
    other["pair_cells"][2] = 11 - other["pair_cells"][2]
    for one, changed in zip(logits(model, batch), logits(model, other), strict=True):
        moved = (one - changed).abs().amax((1, 2)) > 1e-6
        assert moved.tolist() == [False, False, True, False, False, False]


def test_pairs_that_do_not_exist_are_not_seen():
    model, batch = make(), make_batch(kinds=(Kind.GRID,))
    without = {name: value for name, value in batch.items() if not name.startswith("pair_")}
    for one, other in zip(logits(model, batch), logits(model, without), strict=True):
        torch.testing.assert_close(one[:1], other[:1], atol=1e-5, rtol=1e-4)  # row 0 has none
        assert not torch.allclose(one[1:], other[1:])


def test_the_order_of_pairs_does_not_matter_and_both_halves_do():
    model, batch = make(), make_batch(kinds=(Kind.GRID,))
    turned = batch | {name: batch[name].flip(1) for name in ("pair_cells", "pair_size")}
    swapped = batch | {"pair_cells": batch["pair_cells"].flip(2)}
    torch.testing.assert_close(logits(model, batch)[-1], logits(model, turned)[-1], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(logits(model, batch)[-1], logits(model, swapped)[-1])


def test_pairs_are_encoded_once_and_stay_in_the_carry():
    model, batch = make(enable_dqn=False), make_batch(kinds=(Kind.GRID,))
    carry, _ = model.advance(model.initial_carry(batch), batch, Values(epsilon=0.0), make_draws(model, 6, 0))
    later, _ = model.advance(
        carry, make_batch(seed=5, kinds=(Kind.GRID,)), Values(epsilon=0.0), make_draws(model, 6, 1)
    )
    assert torch.equal(later.z["pairs"], carry.z["pairs"])
    assert not carry.z["pairs"][0].any() and carry.z["pairs"][1:].abs().sum((1, 2)).gt(0).all()


def test_nothing_that_the_network_says_enters_what_it_remembers():
    # Fault G3: answers that were wrong were remembered. What is remembered are demonstrations, as they were given.
    model, batch = make(), make_batch(kinds=(Kind.GRID,))
    other = batch | {"cells": batch["cells"].flip(1), "target": batch["target"].flip(0)}
    carries = [model.initial_carry(one) for one in (batch, other)]
    for k in range(3):
        carries = [
            model(carry, one, Values(epsilon=0.5), make_draws(model, 6, k)).carry
            for carry, one in zip(carries, (batch, other), strict=True)
        ]
        assert torch.equal(carries[0].z["pairs"], carries[1].z["pairs"]) and carries[0].z["pairs"].any()


# --- Planner ---


def test_thoughts_feed_back_and_paths_differ():
    torch.manual_seed(0)
    planner = LatentPlanner(SETTINGS)
    workspace, visible = torch.randn(2, 6, 32), torch.ones(2, 1, 1, 6, dtype=torch.bool)
    thoughts = planner.think(workspace, visible)
    assert thoughts.shape == (2, 3, 2, 32)
    (gradient,) = torch.autograd.grad(thoughts[:, 0, 1].sum(), planner.starts)
    assert gradient[0].any() and not gradient[1:].any()


def test_hidden_slots_do_not_reach_thoughts():
    torch.manual_seed(0)
    planner, visible = LatentPlanner(SETTINGS), torch.ones(2, 1, 1, 6, dtype=torch.bool)
    visible[..., 4:] = False
    workspace = torch.randn(2, 6, 32)
    other = workspace.clone()
    other[:, 4:] += 1.0
    torch.testing.assert_close(planner.think(workspace, visible), planner.think(other, visible))


def test_rows_that_follow_one_path_are_as_many_as_asked():
    planner = LatentPlanner(SETTINGS)
    draws = torch.rand(4000, generator=torch.Generator().manual_seed(0))
    weights = planner.followed(torch.full((4000, 3), 1 / 3), draws)
    alone = weights.amax(1) == 1
    assert alone.float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert (weights[alone].mean(0) - 1 / 3).abs().max() < 0.05


def test_balance_and_likeness_are_zero_at_their_best():
    assert balance(torch.full((5, 4), 0.25), OnlyRank()).item() == pytest.approx(0.0, abs=1e-6)
    assert likeness(torch.eye(3)[None, :, None]).item() == pytest.approx(0.0, abs=1e-6)
    assert likeness(torch.ones(1, 3, 1, 3)).item() == pytest.approx(1.0)


def test_a_thought_reaches_the_answer_from_the_first_update():
    # A gate, or a last map that starts at zero, kept the first form's thoughts out of its answers.
    model, batch = make(), make_batch(kinds=(Kind.GRID,))
    carry = model.initial_carry(batch)
    result = model(carry, batch, Values(), make_draws(model, 6, 0))
    names, weights = zip(*model.network.recursion.planner.blocks.named_parameters(), strict=True)
    gradients = torch.autograd.grad(result.loss, weights)
    assert [name for name, gradient in zip(names, gradients, strict=True) if not gradient.any()] == []
