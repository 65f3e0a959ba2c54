"""What a reader says after one more token is what it would say of the whole text, at a fraction of the arithmetic."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.models.hesc.test_causality import VARIANTS
from tests.support.capsules import WINDOW, make
from tests.support.networks import SEQUENCE, TRANSFORMER, TRM, Case
from trm_cli.models.hesc.rows.kinds import FIRST_BYTE, START
from trm_cli.models.network import Network
from trm_cli.models.thinking import think

CAUSAL = {
    "two states": Case("trm", {**TRM, "causal": True, "puzzle_emb_ndim": 0, "puzzle_emb_len": 0}),
    "one state, learned positions": Case(
        "trm", {**TRM, "causal": True, "latent": "single", "pos_encodings": "learned"}
    ),
    "six states": Case("trm", {**TRM, "causal": True, "latent": "six", "L_cycles": 6}),
}


def bytes_of(count: int, seed: int = 0) -> list[int]:
    drawn = torch.randint(97, 123, (count,), generator=torch.Generator().manual_seed(seed))
    return [START, *(FIRST_BYTE + drawn).tolist()]


def both_ways(network: Network, tokens: list[int], window: int, first: int = 2) -> None:
    """Read token by token after the first ones, and the whole text each time."""
    growing, again = network.text_reader(window), network.text_reader(window)
    read = tokens[:first]
    torch.testing.assert_close(growing.begin(read), again.begin(read))
    for token in tokens[first:]:
        read = [*read, token]
        if len(read) > window:
            read = read[-(window - window // 2) :]
        torch.testing.assert_close(growing.add(token), again.begin(read), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
@torch.no_grad()
def test_a_byte_more_is_the_whole_text_with_capsules(changes: dict[str, object]) -> None:
    model = make(text_layers=2, **changes).eval()
    reader = model.text_reader(WINDOW)
    tokens = bytes_of(WINDOW - 1)
    text = torch.tensor([tokens], dtype=torch.int32)
    kind = torch.ones(1, dtype=torch.int32)
    target = torch.full((1, model.seq_len), -100, dtype=torch.int32)
    target[0, WINDOW - 1] = 1
    batch = {"kind": kind, "text": text, "target": target, "puzzle_identifiers": kind * 0}
    *_, last = think(model, batch)
    said = last.outputs.logits[0]
    torch.testing.assert_close(reader.begin(tokens[:1]), said[0])
    for place, token in enumerate(tokens[1:], start=1):
        torch.testing.assert_close(reader.add(token), said[place], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_of_a_text_longer_than_the_window_the_last_half_is_read() -> None:
    both_ways(make(text_layers=2).eval(), bytes_of(WINDOW + 3), WINDOW, first=WINDOW - 2)


@pytest.mark.parametrize("case", CAUSAL.values(), ids=CAUSAL)
def test_a_token_more_is_the_whole_text_of_a_network_of_tokens(case: Case) -> None:
    model = case.model().eval()
    both_ways(model, [3, 1, 4, 1, 5, 2, 6, 5, 3, 5, 2, 1, 3], SEQUENCE)
    row = torch.tensor([[3, 1, 4, 1, 5, 2, 6, 5, 3]], dtype=torch.int32)
    batch = {"inputs": row, "labels": row, "puzzle_identifiers": row[:, 0] * 0}
    *_, last = think(model, batch)
    nats = model.label_nats(last.outputs, row)[0]
    reader = model.text_reader(SEQUENCE)
    scores = [reader.begin([3]), *(reader.add(token) for token in row[0, 1:].tolist())]
    for place, one in enumerate(scores):
        torch.testing.assert_close(-one.log_softmax(-1)[row[0, place]], nats[place], atol=1e-5, rtol=1e-4)


def operations(network: Network, tokens: list[int], window: int) -> tuple[int, int]:
    """Of the last token: read after the others, and with them."""
    reader, found = network.text_reader(window), []
    reader.begin(tokens[:-1])
    for read in (lambda: reader.add(tokens[-1]), lambda: reader.begin(tokens)):
        with FlopCounterMode(display=False) as counter:
            read()
        found.append(counter.get_total_flops())
    return found[0], found[1]


def test_a_token_costs_one_place_and_not_the_whole_text() -> None:
    model = make(text_workspace=False, enable_latent_planning=False).eval()
    one, whole = operations(model, bytes_of(WINDOW - 1), WINDOW)
    assert one < 1.2 * whole / WINDOW
    one, whole = operations(CAUSAL["two states"].model().eval(), [3, 1, 4, 1, 5, 2, 6, 5, 3], SEQUENCE)
    assert one < 1.2 * whole / SEQUENCE


@pytest.mark.parametrize("dtype", ["bfloat16"])
def test_in_another_type_the_text_is_read_again(dtype: str) -> None:
    model = make(forward_dtype=dtype, text_workspace=False, enable_latent_planning=False).eval()
    tokens = bytes_of(6)
    reader, again = model.text_reader(WINDOW), model.text_reader(WINDOW)
    reader.begin(tokens[:6])
    assert torch.equal(reader.add(tokens[6]), again.begin(tokens))


def test_a_network_that_looks_ahead_cannot_write() -> None:
    for case in (Case("trm", TRM), Case("transformer", TRANSFORMER)):
        with pytest.raises(ValueError, match="looks ahead"):
            case.model().text_reader(SEQUENCE)
