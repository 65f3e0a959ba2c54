from __future__ import annotations

import pytest
import torch

from tests.support.capsules import VOCABULARY, make, make_batch
from trm_cli.data.stream import vocabulary as of_data
from trm_cli.models.hesc import vocabulary
from trm_cli.models.layers.sampling import Sampling
from trm_cli.models.thinking import think


def write_text(model, batch, count, *, temperature=0.0, draws=None):
    return torch.stack(list(model.continue_text(batch, count, Sampling(temperature), draws)), 1)


def test_models_and_data_speak_one_vocabulary():
    assert (of_data.PAD, of_data.EOS, of_data.FIRST_COLOUR) == (vocabulary.PAD, vocabulary.EOS, vocabulary.FIRST_COLOUR)
    assert (of_data.FIRST_BYTE, of_data.FIRST_CONTROL) == (vocabulary.FIRST_BYTE, vocabulary.BEGIN)
    assert of_data.TEXT_TARGET + 1 == vocabulary.TEXT_PLACES
    assert of_data.VOCAB_SIZE == VOCABULARY >= vocabulary.MINIMUM_VOCABULARY


def test_a_trace_shows_every_step():
    model, batch = make(), make_batch()
    traces = model.trace(batch).steps
    *_, last = think(model, batch)
    assert len(traces) == last.number == model.halt_max_steps
    assert torch.equal(traces[-1].answer, model.answer(last.outputs))
    torch.testing.assert_close(traces[0].maps.sum(-1), torch.ones(6, 4))
    torch.testing.assert_close(traces[0].path_shares.sum(-1), torch.ones(6))


def test_written_text_is_what_the_causal_reading_would_say():
    model, batch = make(), make_batch()
    written = write_text(model, batch, 5)
    asked = batch | {"target": written.int(), "target_kind": torch.ones_like(batch["target_kind"])}
    *_, last = think(model, asked)
    assert torch.equal(model.answer(last.outputs), written)


def test_sampled_text_follows_the_draws_and_says_no_colour():
    model, batch = make(), make_batch()
    draws = torch.rand(6, 12, generator=torch.Generator().manual_seed(0))
    one, same = (write_text(model, batch, 12, temperature=2.0, draws=draws) for _ in range(2))
    assert torch.equal(one, same)
    assert not torch.equal(one, write_text(model, batch, 12, temperature=2.0, draws=1 - draws))
    assert not ((one >= vocabulary.FIRST_COLOUR) & (one < vocabulary.FIRST_BYTE)).any()
    with pytest.raises(ValueError, match="draws"):
        write_text(model, batch, 2, temperature=1.0)
