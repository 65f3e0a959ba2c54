"""Demonstrations whose cells are looked at, and that are asked in training themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models.hesc.test_model import without_gradient
from tests.support.capsules import Run, Values, make, make_batch, make_draws
from trm_cli.data.stream.boards import board_targets
from trm_cli.models.hesc.model import MultimodalHesc
from trm_cli.models.hesc.passes import DemonstrationPass
from trm_cli.models.hesc.rows.boards import answer_labels
from trm_cli.models.hesc.rows.kinds import EOS, FIRST_COLOUR, Kind
from trm_cli.models.supervision.losses import IGNORED_LABEL, softmax_cross_entropy

ASKING = {"enable_dqn": False, "demonstration_loss_weight": 1.0}


def grids(**changes: Tensor) -> dict[str, Tensor]:
    return make_batch(kinds=(Kind.GRID,)) | changes


def answers(model: MultimodalHesc, batch: dict[str, Tensor]) -> Tensor:
    """The scores of an evaluation."""
    model.eval()
    with torch.inference_mode():
        return model.advance(model.initial_carry(batch), batch)[1].logits


def asked(model: MultimodalHesc, batch: dict[str, Tensor]) -> tuple[DemonstrationPass, Tensor]:
    """What was asked in a step of training, and its term of the loss."""
    result = model(model.initial_carry(batch), batch, Values(epsilon=0.0), make_draws(model, 6, 0))
    found = result.outputs.thought.asked
    assert found is not None
    return found, result.terms["demonstration_loss"]


def scores(found: DemonstrationPass) -> Tensor:
    """Of whole boards, demonstration by demonstration."""
    each = [part.packed.put(part.scores) for part in found.parts]
    return torch.cat(each)[torch.cat([part.rows for part in found.parts]).argsort()].detach()


def otherwise(batch: dict[str, Tensor], row: int, pair: int) -> dict[str, Tensor]:
    """The same rows; one demonstration has another answer."""
    pairs = batch["pair_cells"].clone()
    pairs[row, pair, 1] = pairs[row, pair, 1] % 10 + 1
    return batch | {"pair_cells": pairs}


@pytest.mark.parametrize("looks", [True, False])
def test_cells_look_at_the_cells_of_demonstrations(looks: bool) -> None:
    model, batch = make(pair_cells=looks), grids()
    with torch.no_grad():
        model.network.pair_reader.attention.out.zero_()  # their slots say nothing
    same = torch.isclose(answers(model, batch), answers(model, otherwise(batch, 2, 0)), atol=1e-6).all(2).all(1)
    assert same.tolist() == [True, True, not looks, True, True, True]


def test_demonstrations_that_no_row_shows_are_not_looked_at() -> None:
    model, batch = make(pair_cells=True), grids()
    none = batch | {"pair_size": torch.zeros_like(batch["pair_size"])}
    without = {name: value for name, value in batch.items() if not name.startswith("pair_")}
    torch.testing.assert_close(answers(model, none), answers(model, without), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(answers(model, batch)[:1], answers(model, none)[:1], atol=1e-5, rtol=1e-4)


def test_a_demonstration_that_is_asked_sees_the_others_and_not_itself() -> None:
    model, batch = make(pair_cells=True, **ASKING), grids()
    before, _ = asked(model, batch)
    assert before.rows.tolist() == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    after, _ = asked(model, otherwise(batch, 2, 0))
    same = torch.isclose(scores(before), scores(after), atol=1e-6).all(2).all(1)
    assert same.tolist() == [number != 3 for number in range(10)]  # the other one of row 2


def test_the_term_is_the_mean_over_the_demonstrations_of_a_row() -> None:
    model, batch = make(**ASKING), grids()
    batch["pair_size"][2:, 1] = 0
    found, term = asked(model, batch)
    assert found.rows.tolist() == [1, 1, 2, 3, 4, 5]
    wanted = 0.0
    for part in found.parts:
        labels = part.labels(found.target)
        nats = softmax_cross_entropy(part.scores.detach(), labels).sum(1) / (labels != IGNORED_LABEL).sum(1)
        wanted += float((nats / torch.tensor([2.0, 2.0, 1.0, 1.0, 1.0, 1.0])[part.rows]).sum())
    assert float(term) == pytest.approx(wanted, rel=1e-5)


def test_an_evaluation_asks_no_demonstration() -> None:
    model, batch = make(**ASKING).eval(), grids()
    with torch.inference_mode():
        assert model.advance(model.initial_carry(batch), batch)[1].thought.asked is None


def test_the_labels_of_a_demonstration_are_those_of_the_dataset() -> None:
    chance = np.random.default_rng(0)
    sizes = np.array([[1, 1], [3, 5], [5, 2], [5, 5]], np.uint8)
    place = np.arange(5)
    inside = (place[:, None] < sizes[:, 0, None, None]) & (place < sizes[:, 1, None, None])
    boards = np.where(inside, chance.integers(1, 11, (4, 5, 5)), 0).astype(np.uint8)
    found = answer_labels(
        torch.from_numpy(boards).flatten(1), torch.from_numpy(sizes), EOS, FIRST_COLOUR, IGNORED_LABEL
    )
    np.testing.assert_array_equal(found.numpy(), board_targets(boards, sizes).reshape(4, -1))


def test_what_is_asked_and_looked_at_teaches_every_parameter() -> None:
    assert without_gradient(Run(make(pair_cells=True, demonstration_loss_weight=1.0)), 6) == set()
