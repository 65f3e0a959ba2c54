"""Rotary positions."""

from __future__ import annotations

import pytest
import torch

from trm_cli.models.layers.rotary import board_rope_tables, rope_tables, rotate


def test_rotation_depends_on_relative_position_only() -> None:
    rope = rope_tables(12, 8, 10_000.0)
    q, k = torch.randn(8), torch.randn(8)
    turned_q = rotate(q.expand(12, 8), *rope)
    turned_k = rotate(k.expand(12, 8), *rope)
    assert (turned_q[3] @ turned_k[5]).item() == pytest.approx((turned_q[8] @ turned_k[10]).item(), rel=1e-4, abs=1e-5)
    assert turned_q[7].norm().item() == pytest.approx(q.norm().item(), rel=1e-5)


def test_on_a_board_rotation_depends_on_the_distance_in_rows_and_in_columns() -> None:
    side, prefix, head = 5, 2, 8
    q, k = torch.randn(head), torch.randn(head)
    rope = board_rope_tables(side * side, prefix, head, 100.0)
    turned_q, turned_k = (rotate(x.expand(prefix + side * side, head), *rope) for x in (q, k))

    def score(a: tuple[int, int], b: tuple[int, int]) -> float:
        first, second = (prefix + row * side + column for row, column in (a, b))
        return float(turned_q[first] @ turned_k[second])

    assert score((0, 1), (2, 0)) == pytest.approx(score((2, 4), (4, 3)), rel=1e-4, abs=1e-5)
    assert score((0, 1), (2, 0)) != pytest.approx(score((0, 1), (0, 2)), rel=1e-2)
    assert torch.equal(turned_q[:prefix], q.expand(prefix, head)), "what stands before the board is not turned"


@pytest.mark.parametrize(("cells", "head", "said"), [(24, 8, "square"), (25, 6, "four divides")])
def test_what_is_no_board_or_no_width_for_one_is_refused(cells: int, head: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        board_rope_tables(cells, 0, head, 100.0)


def test_odd_head_width_is_refused() -> None:
    with pytest.raises(ValueError, match="even head width"):
        rope_tables(4, 7, 10_000.0)
