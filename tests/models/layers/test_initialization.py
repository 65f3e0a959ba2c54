"""Initial values of weights."""

from __future__ import annotations

import pytest
import torch

from trm_cli.models.layers.initialization import truncated_normal_


def test_truncated_normal_realises_its_deviation_and_its_bounds() -> None:
    torch.manual_seed(0)
    drawn = truncated_normal_(torch.empty(400_000), std=0.5)
    assert drawn.std().item() == pytest.approx(0.5, rel=5e-3)
    assert drawn.mean().item() == pytest.approx(0.0, abs=5e-3)
    assert drawn.abs().max().item() <= 2 * 0.5 / 0.8796 + 1e-4


def test_zero_deviation_draws_nothing() -> None:
    before = torch.get_rng_state()
    assert not truncated_normal_(torch.ones(3), std=0).any()
    assert torch.equal(before, torch.get_rng_state())
