"""The parts of a block that a run may change: pre-norm sums with scales, gated MLPs with a norm."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trm_cli.models.layers.block import AttentionBlock, Block, BlockStyle, NeighbourBlock, TokenMLPBlock, run_block
from trm_cli.models.layers.gated_mlp import normed_glu, swiglu, token_swiglu

torch.set_num_threads(1)


def _norm(x: Tensor, dim: int = -1) -> Tensor:
    return x / (x.square().mean(dim, keepdim=True) + 1e-5).sqrt()


def test_a_pre_norm_block_adds_shares() -> None:
    torch.manual_seed(0)
    block = TokenMLPBlock(6, 5, 4.0, BlockStyle(pre_norm=True))
    assert list(block.state_dict()) == ["token_gate_up", "token_down", "gate_up", "down", "scales"]
    h = torch.randn(2, 5, 6)
    expected = 0.75 * h + 0.25 * token_swiglu(_norm(h, -2), block.token_gate_up, block.token_down)
    expected = 0.75 * expected + 0.25 * swiglu(_norm(expected), block.gate_up, block.down)
    torch.testing.assert_close(run_block(h, block.cast(torch.float32), None, 0), expected)


@pytest.mark.parametrize("dim", [-1, -2])
def test_the_norm_inside_a_gated_mlp(dim: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, 4, generator=generator)
    up, down = torch.randn(6, 4, generator=generator), torch.randn(4, 3, generator=generator)
    turned = x if dim == -1 else x.mT
    gate, value = (turned @ up.T).chunk(2, -1)
    expected = (torch.sigmoid(gate) * _norm(gate * value)) @ down.T
    torch.testing.assert_close(normed_glu(x, up, down, dim), expected if dim == -1 else expected.mT)


@pytest.mark.parametrize("mlp", [True, False])
def test_a_gated_norm_bounds_what_a_block_adds(mlp: bool) -> None:
    torch.manual_seed(0)
    style = BlockStyle(gate_norm=True)
    block: Block = TokenMLPBlock(8, 4, 4.0, style) if mlp else AttentionBlock(8, 2, 4.0, style)
    h = torch.randn(1, 4, 8)
    usual = run_block(h, block.cast(torch.float32), None, 0 if mlp else 2)
    with torch.no_grad():
        block.gate_up.mul_(1000)
    large = run_block(h, block.cast(torch.float32), None, 0 if mlp else 2)
    assert (usual - large).abs().max() < 3


def test_a_cell_is_mixed_with_its_eight_neighbours() -> None:
    torch.manual_seed(0)
    side, block, h = 4, NeighbourBlock(6, 2.0, BlockStyle()), torch.randn(2, 16, 6)
    mixed = torch.zeros_like(h)
    for cell in range(side * side):
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                row, column = cell // side + down, cell % side + right
                if row in range(side) and column in range(side):
                    mixed[:, cell] += block.neighbours[:, 0, 1 + down, 1 + right] * h[:, row * side + column]
    expected = _norm(h + mixed)
    expected = _norm(expected + swiglu(expected, block.gate_up, block.down))
    torch.testing.assert_close(run_block(h, block.cast(torch.float32), None, 0), expected)
