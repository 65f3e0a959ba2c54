"""No place of a text learns what follows it, by no path: tokens, slots, children, thoughts, actions."""

from __future__ import annotations

import pytest
import torch

from tests.support.capsules import WINDOW, make, make_batch
from trm_cli.models.hesc.model import MultimodalHesc
from trm_cli.models.hesc.rows.kinds import FIRST_BYTE, Kind
from trm_cli.models.thinking import think

VARIANTS = {
    "without a workspace": {"text_workspace": False, "enable_latent_planning": False},
    "as it is": {},
    "many steps": {"text_steps": 3, "H_cycles": 1, "L_cycles": 2},
    "no planner": {"enable_latent_planning": False},
    "no children": {"enable_expansion": False},
    "no q network": {"enable_dqn": False, "expand_threshold": 0.0},
}


def scores(model: MultimodalHesc, batch: dict[str, torch.Tensor]) -> list[torch.Tensor]:
    """Of every step of an evaluation: [B, T, V] each."""
    return [step.outputs.logits[:, : WINDOW - 1] for step in think(model.eval(), batch)]


def changed_at(batch: dict[str, torch.Tensor], place: int) -> dict[str, torch.Tensor]:
    text = batch["text"].clone()
    text[:, place:] = FIRST_BYTE + 64 + torch.arange(WINDOW - place, dtype=torch.int32)
    return batch | {"text": text}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("place", [1, 2, 7, 12, 13, 22])
def test_later_bytes_change_nothing_before_them(changes: dict[str, object], place: int) -> None:
    model = make(**changes)
    batch = make_batch(rows=3, kinds=(Kind.TEXT,), pairs=0)
    for before, after in zip(scores(model, batch), scores(model, changed_at(batch, place)), strict=True):
        moved = (before - after).abs().amax(-1) > 1e-5
        assert not moved[:, :place].any()
        assert moved[:, place].all()


def test_the_workspace_tells_a_text_what_was_said_earlier() -> None:
    # The tokens' own attention is cut: what still arrives has come through capsules and thoughts.
    model = make(text_steps=2)
    batch = make_batch(rows=2, kinds=(Kind.TEXT,), pairs=0)
    with torch.no_grad():
        for block in model.network.recursion.text.blocks:
            block.key_lean.zero_()
    other = batch | {"text": batch["text"].clone()}
    other["text"][:, 1] = FIRST_BYTE + 65
    far = WINDOW - 2
    reached = (scores(model, batch)[-1] - scores(model, other)[-1])[:, far].abs().amax(-1)
    assert (reached > 0).all()


@pytest.mark.parametrize("changed", [1, 5, 9])
def test_a_byte_further_ahead_is_told_from_the_bytes_before_it(changed: int) -> None:
    model, batch = make(), make_batch(rows=2, kinds=(Kind.TEXT,), pairs=0)
    other = batch | {"text": batch["text"].clone()}
    other["text"][:, changed] = FIRST_BYTE + 65
    parts = [model.advance(model.initial_carry(b), b)[1].thought.parts[0] for b in (batch, other)]
    assert len(parts[0].further) == 2
    for depth, (now, was) in enumerate(zip(parts[1].further, parts[0].further, strict=True), start=1):
        moved = (now - was).abs().amax(-1) > 1e-6
        last_read = torch.arange(now.shape[1]) + depth
        assert not moved[:, last_read < changed].any()
        assert moved[:, last_read == changed].all()
