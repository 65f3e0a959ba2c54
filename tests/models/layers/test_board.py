"""Relations between cells, and the bias of attention that they give."""

from __future__ import annotations

import itertools

import pytest
import torch

from trm_cli.models.kernels.attention import softmax_attention
from trm_cli.models.layers.attention import scaled_dot_product
from trm_cli.models.layers.block import AttentionBlock, BlockStyle, TokenMLPBlock
from trm_cli.models.layers.board import board_relations
from trm_cli.models.layers.gated_mlp import token_swiglu

torch.set_num_threads(1)


@pytest.mark.parametrize("box", [(2, 3), (3, 2), None])
def test_a_kind_says_which_groups_two_cells_share(box: tuple[int, int] | None) -> None:
    relations = board_relations(36, box, prefix=2)
    for one, other in itertools.product(range(36), repeat=2):
        (r, c), (s, d) = divmod(one, 6), divmod(other, 6)
        third = (
            abs(r - s) + abs(c - d) <= 1 if box is None else (r // box[0], c // box[1]) == (s // box[0], d // box[1])
        )
        kind = relations.kinds[2 + one, 2 + other]
        assert relations.groups[kind].tolist() == [r == s, c == d, third], (one, other)
    off = relations.kinds[0, 0]
    assert not relations.groups[off].any()
    assert relations.kinds.eq(off).sum() == 38**2 - 36**2


def test_heads_begin_with_one_group_each_in_turn() -> None:
    relations = board_relations(16, (2, 2))
    bias = relations.preferences(6)[:, relations.kinds]  # [heads, cells, cells]
    looked_at = [(bias[head, 0] > 0).nonzero()[:, 0].tolist() for head in range(6)]
    row, column, block, everything = [0, 1, 2, 3], [0, 4, 8, 12], [0, 1, 4, 5], list(range(16))
    assert looked_at == [row, column, block, everything, row, column]


def test_what_makes_no_board_is_refused() -> None:
    with pytest.raises(ValueError, match="80 cells make none"):
        board_relations(80, None)
    with pytest.raises(ValueError, match="2 rows and 3 columns do not tile a board of 4 x 4"):
        board_relations(16, (2, 3))


def test_the_bias_is_added_to_the_scores_of_attention() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, 5, 4, generator=generator, dtype=torch.float64).unbind()
    bias = torch.randn(3, 5, 5, generator=generator, dtype=torch.float64)
    expected = torch.einsum("bhij,bhjd->bhid", (torch.einsum("bhid,bhjd->bhij", q, k) / 2 + bias).softmax(-1), v)
    torch.testing.assert_close(scaled_dot_product(q, k, v, bias=bias), expected)
    torch.testing.assert_close(softmax_attention(q, k, v, bias=bias), expected)


def test_the_bias_of_a_relation_learns_from_all_its_pairs() -> None:
    relations = board_relations(16, (2, 2))
    block = AttentionBlock(8, 2, 4.0, BlockStyle(relations=relations))
    bias = block.cast(torch.float32).bias
    assert bias is not None
    assert block.relations is not None
    bias.sum().backward()
    pairs = torch.bincount(relations.kinds.flatten(), minlength=len(relations.groups)).float()
    torch.testing.assert_close(block.relations.grad, pairs.expand(2, -1))
    assert "kinds" not in block.state_dict()


def test_hidden_units_of_an_mlp_begin_with_one_group_each() -> None:
    relations = board_relations(16, (2, 2), prefix=1)
    assert sorted(relations.members.sum(1).tolist()) == [4] * 12 + [17]
    assert relations.members[:, 0].tolist() == [False] * 12 + [True]
    torch.manual_seed(0)
    block = TokenMLPBlock(64, 17, 4.0, BlockStyle(relations=relations))
    units = relations.units(256)
    for weight in (block.token_gate_up[:256], block.token_gate_up[256:], block.token_down.T):
        assert torch.equal(weight != 0, units)
    torch.manual_seed(0)
    plain = TokenMLPBlock(64, 17, 4.0, BlockStyle())
    h = torch.randn(20, 17, 64)
    spread = [token_swiglu(h, one.token_gate_up, one.token_down)[:, 1:].std().item() for one in (block, plain)]
    assert spread[0] == pytest.approx(spread[1], rel=0.2)
