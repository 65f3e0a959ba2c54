"""Rotary positions."""

from __future__ import annotations

import pytest
import torch

from trm_cli.models.layers.rotary import rope_tables, rotate


def test_rotation_depends_on_relative_position_only() -> None:
    rope = rope_tables(12, 8, 10_000.0)
    q, k = torch.randn(8), torch.randn(8)
    turned_q = rotate(q.expand(12, 8), *rope)
    turned_k = rotate(k.expand(12, 8), *rope)
    assert (turned_q[3] @ turned_k[5]).item() == pytest.approx((turned_q[8] @ turned_k[10]).item(), rel=1e-4, abs=1e-5)
    assert turned_q[7].norm().item() == pytest.approx(q.norm().item(), rel=1e-5)


def test_odd_head_width_is_refused() -> None:
    with pytest.raises(ValueError, match="even head width"):
        rope_tables(4, 7, 10_000.0)
