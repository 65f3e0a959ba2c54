"""What a causal network says at a position depends on the inputs up to it alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.networks import CASES, SEQUENCE, TRM, VOCABULARY, Case, make_batch
from trm_cli.models.kernels.attention import softmax_attention
from trm_cli.models.layers.attention import scaled_dot_product
from trm_cli.models.networks.trm import TrmConfig

KINDS = {
    "two states": {},
    "one state": {"latent": "single"},
    "six states": {"latent": "six", "L_cycles": 6},
    "learned positions": {"pos_encodings": "learned"},
    "no prefix": {"puzzle_emb_ndim": 0, "puzzle_emb_len": 0},
}


def causal(**changes: object) -> Case:
    return Case("trm", {**TRM, "causal": True, **changes})


def answers(case: Case, inputs: torch.Tensor, steps: int = 4) -> torch.Tensor:
    """Logits after `steps` supervision steps: [B, S, V]."""
    model = case.model("float64")
    batch = {**make_batch(0, rows=inputs.shape[0]), "inputs": inputs}
    carry = model.initial_carry(batch)
    for _ in range(steps):
        carry, outputs = model.advance(carry, batch)
    return outputs.logits


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12)
@given(place=st.integers(0, SEQUENCE - 1), token=st.integers(0, VOCABULARY - 1), seed=st.integers(0, 99))
def test_a_token_changes_nothing_before_it(kind: str, place: int, token: int, seed: int) -> None:
    inputs = make_batch(seed, rows=2)["inputs"]
    other = inputs.clone()
    other[:, place] = (other[:, place] + 1 + token % (VOCABULARY - 1)) % VOCABULARY
    before, after = (answers(causal(**KINDS[kind]), each) for each in (inputs, other))
    moved = (before - after).abs().amax((0, 2)) > 1e-12
    assert not moved[:place].any()
    assert moved[place:].all()


def test_without_it_every_place_sees_every_token() -> None:
    inputs = make_batch(0)["inputs"]
    other = inputs.clone()
    other[:, -1] = (other[:, -1] + 1) % VOCABULARY
    before, after = (answers(CASES["attention"], each) for each in (inputs, other))
    assert ((before - after).abs().amax((0, 2)) > 1e-9).all()
    assert torch.equal(before, answers(Case("trm", {**TRM, "causal": False}), inputs))


def test_both_kernels_hide_the_same() -> None:
    q, k, v = (torch.randn(2, 3, 7, 8) for _ in range(3))
    torch.testing.assert_close(softmax_attention(q, k, v, causal=True), scaled_dot_product(q, k, v, causal=True))
    short = [x.bfloat16() for x in (q, k, v)]
    torch.testing.assert_close(scaled_dot_product(*short, causal=True)[:, :, 0], short[2][:, :, 0])


def test_halting_is_judged_where_the_whole_row_is_seen() -> None:
    model = causal().model()
    inputs = make_batch(0)["inputs"]
    other = inputs.clone()
    other[:, -1] = (other[:, -1] + 1) % VOCABULARY
    values = []
    for each in (inputs, other):
        batch = {**make_batch(0), "inputs": each}
        values.append(model.advance(model.initial_carry(batch), batch)[1].q_halt)
    assert (values[0] != values[1]).all()


def test_an_mlp_over_positions_cannot_be_causal() -> None:
    with pytest.raises(ValueError, match="mlp_t"):
        causal(mlp_t=True, pos_encodings="none").model()
    assert [key for key, _ in TrmConfig(causal=True, mlp_t=True).conflicts()] == ["causal"]
