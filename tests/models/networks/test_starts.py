"""Noise on the states of training, and learning the best of several starts."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.networks import TRM, Case, make_batch
from trm_cli.models.networks.shared import winner
from trm_cli.models.networks.shared.chance import Chance
from trm_cli.models.networks.shared.token_network import TokenNetwork
from trm_cli.models.supervision.losses import per_row_mean, stablemax_cross_entropy
from trm_cli.models.supervision.starts import normal

torch.set_num_threads(1)
ROWS = 3


def _network(**settings: Any) -> TokenNetwork:
    return Case("trm", {**TRM, **settings}).model()


def test_normal_numbers_are_normal() -> None:
    drawn = normal(torch.rand(200, 200, generator=torch.Generator().manual_seed(0)))
    assert drawn.shape == (200, 100)
    assert drawn.mean().abs() < 0.03
    assert (drawn.std() - 1).abs() < 0.03
    assert normal(torch.tensor([[0.75, 0.5]])).item() == pytest.approx(-math.sqrt(-2 * math.log(0.25)), rel=1e-6)


def test_draws_are_told_apart_and_none_are_drawn_where_nothing_is_random() -> None:
    assert _network().draws_per_row == 2
    network = _network(start_noise=1.0, step_noise=0.1, starts=3)
    width = 2 * network.config.hidden_size
    draws = torch.rand(ROWS, network.draws_per_row)
    chance = Chance.of(network.config, draws)
    assert [part.shape[1] for part in chance] == [2, 2 * width, 2 * width, 2 * width]
    torch.testing.assert_close(torch.cat(tuple(chance), 1), draws)


def test_a_random_start_moves_new_rows_alone() -> None:
    batch = make_batch(0, ROWS)
    plain, noisy = _network(), _network(start_noise=1.0)
    generator = torch.Generator().manual_seed(1)
    draws = torch.rand(ROWS, noisy.draws_per_row, generator=generator)
    draws[:, :2] = 1.0  # no exploration
    first, _ = noisy.advance(noisy.initial_carry(batch), batch, draws=draws)
    trained, _ = plain.advance(plain.initial_carry(batch), batch, draws=draws[:, :2])
    assert not torch.equal(first.z["z_H"], trained.z["z_H"])
    going_on = torch.zeros_like(first.halted)
    again = [
        noisy.advance(type(first)(first.z, first.steps, going_on, first.data), batch, draws=one)[0].z["z_H"]
        for one in (draws, torch.rand(draws.shape, generator=generator))
    ]
    assert torch.equal(*again)


def test_evaluation_knows_no_noise() -> None:
    batch = make_batch(0, ROWS)
    answers = []
    for network in (_network(), _network(start_noise=1.0, step_noise=0.5, starts=2)):
        _, outputs = network.advance(network.initial_carry(batch), batch)
        answers.append(outputs.logits)
    assert torch.equal(*answers)


def test_loss_and_answer_are_those_of_the_best_start() -> None:
    network, batch = _network(starts=3), make_batch(0, ROWS)
    draws = torch.rand(ROWS, network.draws_per_row, generator=torch.Generator().manual_seed(2))
    result = network(network.initial_carry(batch), batch, draws=draws)
    width, losses, states = 2 * network.config.hidden_size, [], []
    with torch.no_grad():
        initial = network.initial_states()
        shape = (ROWS, network.positions, network.config.hidden_size)
        for start in range(3):
            scratch = initial["z_L"].expand(shape)
            if start:
                scratch = scratch + normal(draws[:, 2:][:, (start - 1) * width : start * width])[:, None]
            z = _thought(network, {"z_H": initial["z_H"].expand(shape), "z_L": scratch}, batch)
            logits = (z["z_H"] @ network.lm_head.T)[:, network.config.puzzle_tokens :]
            losses.append(per_row_mean(stablemax_cross_entropy(logits, batch["labels"]), batch["labels"]))
            states.append(z)
    found, best = torch.stack(losses, 1).min(1)
    torch.testing.assert_close(result.terms["lm_loss"], found.sum())
    assert len(set(best.tolist())) > 1  # else the first start alone would do
    won = torch.stack([states[start]["z_H"][row] for row, start in enumerate(best.tolist())])
    torch.testing.assert_close(result.carry.z["z_H"], won)
    torch.testing.assert_close(result.carry.z["z_L"], states[0]["z_L"])
    torch.testing.assert_close(result.carry.extra[winner.SCRATCH], torch.stack([one["z_L"] for one in states[1:]], 1))


def _thought(network: TokenNetwork, z: dict[str, Tensor], batch: Any) -> dict[str, Tensor]:
    def stack(h: Tensor) -> Tensor:
        level = network.stacks()["L_level"]
        found: Tensor = level(h, level.cast(network.dtype), network.rope)
        return found

    return network.config.think(z, network.embed(batch), {"L_level": stack}, torch.no_grad)


def test_a_start_that_has_become_like_another_is_drawn_anew() -> None:
    generator = torch.Generator().manual_seed(0)
    first, other = torch.randn(2, 1, 4, 5, generator=generator)
    others = torch.stack((first * 2, other), 1)  # the second is a multiple of the first, the third is not
    draws = torch.rand(1, 20, generator=generator)
    found = winner.redrawn(first, others, torch.zeros(5), torch.tensor([False]), draws)
    assert torch.equal(found[:, 0], first)
    assert torch.equal(found[:, 1], normal(draws[:, :10])[:, None].expand(1, 4, 5))
    assert torch.equal(found[:, 2], other)
