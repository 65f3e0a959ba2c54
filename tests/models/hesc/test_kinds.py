"""Each kind of row: what it reads, what it may say, and that no other row and no empty place matters."""

from __future__ import annotations

import pytest
import torch

from tests.support.capsules import VOCABULARY, make, make_batch
from trm_cli.data.stream import vocabulary as of_data
from trm_cli.models.hesc.rows import kinds
from trm_cli.models.hesc.rows.kinds import FIRST_BYTE, FIRST_LABEL, START, Kind
from trm_cli.models.hesc.rows.positions import board_places, board_rotation
from trm_cli.models.thinking import think


def last(model, batch):
    *_, step = think(model.eval(), batch)
    return step.outputs.logits


def test_models_and_data_speak_one_vocabulary():
    assert (of_data.PAD, of_data.EOS, of_data.FIRST_COLOUR) == (kinds.PAD, kinds.EOS, kinds.FIRST_COLOUR)
    assert (of_data.FIRST_BYTE, of_data.FIRST_CONTROL) == (FIRST_BYTE, START)
    assert of_data.FIRST_CONTROL + of_data.CONTROLS == FIRST_LABEL


def test_a_row_says_words_of_its_kind_alone():
    said = make().answer(make().advance(make().initial_carry(make_batch()), make_batch())[1])
    grid, text, picture = said[0], said[1], said[2]
    assert (grid < FIRST_BYTE).all()
    assert ((text[:24] == kinds.EOS) | ((text[:24] >= FIRST_BYTE) & (text[:24] < START))).all()
    assert FIRST_LABEL <= int(picture[0]) < VOCABULARY


@pytest.mark.parametrize("kind", list(Kind))
def test_a_row_does_not_depend_on_its_neighbours(kind):
    model, batch = make(), make_batch(rows=9)
    own = (batch["kind"] == kind).nonzero()[:, 0]
    whole = last(model, batch)
    for row in own.tolist():
        alone = last(model, {name: value[row : row + 1] for name, value in batch.items()})[0]
        asked = batch["target"][row] != -100
        torch.testing.assert_close(whole[row][asked], alone[asked], atol=2e-5, rtol=1e-4)


def test_what_a_grid_is_asked_does_not_change_what_it_answers():
    # Boards are cut to what is asked: the cut must not be seen in the answer.
    model, batch = make(), make_batch(rows=2, kinds=(Kind.GRID,))
    asked = last(model, batch)
    unknown = last(model, batch | {"target": torch.full_like(batch["target"], -100)})
    places = batch["target"] != -100
    torch.testing.assert_close(asked[places], unknown[places], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("field", ["cells", "text", "picture", "puzzle_identifiers"])
def test_every_field_matters_to_its_kind_alone(field):
    model, batch = make(), make_batch(pairs=0)
    with torch.no_grad():
        model.puzzle_embedding.weight.normal_()
    other = batch | {field: torch.where(batch[field] > 0, 3 - batch[field] % 2, batch[field])}
    if field == "puzzle_identifiers":
        other[field] = (batch[field] + 1) % 3
    moved = (last(model, batch) - last(model, other)).abs().amax((1, 2)) > 1e-5
    kind = {"cells": Kind.GRID, "text": Kind.TEXT, "picture": Kind.PICTURE}.get(field)
    if kind is not None:
        assert moved.tolist() == (batch["kind"] == kind).tolist()
    else:
        assert moved[batch["kind"] != Kind.TEXT].all()


def test_positions_know_the_size_of_the_board():
    # The same cells on a board that is said to be wider: the mirrored place is another one.
    model, batch = make(), make_batch(rows=1, kinds=(Kind.GRID,), pairs=0)
    wider = batch | {"size": batch["size"] + torch.tensor([[0, 1, 0, 0]], dtype=torch.uint8)}
    assert not torch.allclose(last(model, batch), last(model, wider), atol=1e-4)
    same = batch | {"size": batch["size"] + torch.tensor([[0, 0, 1, 1]], dtype=torch.uint8)}
    assert torch.equal(last(model, batch), last(model, same))  # the answer's size is not looked at


FRAMES = [
    lambda r, c, h, w: (r, c),
    lambda r, c, h, w: (r, w - 1 - c),
    lambda r, c, h, w: (h - 1 - r, c),
    lambda r, c, h, w: (c, r),
    lambda r, c, h, w: (h - 1 - r, w - 1 - c),
]


@pytest.mark.parametrize("head", range(len(FRAMES)))
def test_a_head_looks_at_the_place_of_its_frame_from_the_start(head):
    side = 4
    rotation = board_rotation(board_places(side, torch.tensor([[side, side]])), 8, 32)
    turning = slice(0, 16)  # the pairs behind these do not turn
    query = torch.complex(rotation.query.cos[0, head], rotation.query.sin[0, head])[:, turning]
    key = torch.complex(rotation.key.cos[0, 0], rotation.key.sin[0, 0])[:, turning]
    scores = (query[:, None] * key.conj()).real.sum(-1)
    for row in range(side):
        for column in range(side):
            seen = divmod(int(scores[row * side + column].argmax()), side)
            assert seen == FRAMES[head](row, column, side, side)


def test_padding_rows_without_a_field_of_their_kind_are_taken():
    model, batch = make(), make_batch(rows=2, kinds=(Kind.TEXT,), pairs=0)
    batch["kind"][1] = 0
    assert last(model, batch).isfinite().all()
