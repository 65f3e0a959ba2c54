"""Muon: orthogonal updates of matrices, AdamATan2 for the rest."""

from __future__ import annotations

import math

import torch
from torch import nn

from tests.support.capsules import make
from tests.support.networks import TRM, Case
from trm_cli.config.compose import compose
from trm_cli.training.hardware.machine import Machine
from trm_cli.training.optimizers.adam_atan2 import AdamATan2
from trm_cli.training.optimizers.muon import Muon, orthogonal
from trm_cli.training.run.build import make_state

torch.set_num_threads(1)


def test_singular_values_come_near_one() -> None:
    generator = torch.Generator().manual_seed(0)
    for shape in ((6, 20), (20, 6), (8, 8)):
        matrix = torch.randn(shape, generator=generator)
        values = torch.linalg.svdvals(orthogonal(matrix))
        assert values.min() > 0.6
        assert values.max() < 1.3
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        assert torch.nn.functional.cosine_similarity(orthogonal(matrix).flatten(), (u @ v).flatten(), dim=0) > 0.95


def test_two_updates_follow_the_formula() -> None:
    weight = nn.Parameter(torch.ones(3, 5))
    optimizer = Muon([{"params": [weight], "matrices": True}], lr=0.1, betas=(0.9, 0.95), weight_decay=0.5)
    expected, mean = torch.ones(3, 5), torch.zeros(3, 5)
    for number in range(2):
        gradient = torch.randn(3, 5, generator=torch.Generator().manual_seed(number))
        weight.grad = gradient.clone()
        optimizer.step()
        mean = 0.9 * mean + 0.1 * gradient
        update = orthogonal(0.1 * gradient + 0.9 * mean)
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * 0.2 * math.sqrt(5) * update
    torch.testing.assert_close(weight.detach(), expected)


def test_what_is_no_matrix_of_a_block_is_updated_as_by_adam_atan2() -> None:
    ours, theirs = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(4))
    optimizers = (Muon([{"params": [ours], "matrices": False}], lr=0.1), AdamATan2([theirs], lr=0.1))
    for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
        parameter.grad = torch.tensor([1.0, -2.0, 0.5, 0.0])
        optimizer.step()
    assert torch.equal(ours, theirs)


def test_matrices_are_those_of_the_blocks() -> None:
    network = Case("trm", TRM).model()
    config = compose("sudoku-4x4", ["optimizer=muon", "device=cpu"]).config
    state = make_state(config, network, Machine.choose(config, 16))
    names = {parameter: name for name, parameter in network.named_parameters()}
    groups = {bool(group["matrices"]): group["params"] for group in state.trunk_optimizer.param_groups}
    assert all(names[one].startswith("L_level.layers.") for one in groups[True])
    assert not any(names[one].startswith("L_level") for one in groups[False])


def test_the_matrices_of_capsules_are_those_of_attention_and_of_the_gated_mlps() -> None:
    network = make(pair_cells=True, enable_latent_planning=True)
    names = {parameter: name for name, parameter in network.named_parameters()}
    found = [names[one] for one in network.block_matrices()]
    assert len(set(found)) == len(found)
    assert {name.rpartition(".")[2] for name in found} == {"query", "key_value", "out", "gate_up", "down", "likeness"}
    for part in ("recursion.board", "recursion.text", "recursion.workspace", "recursion.planner", "pair_reader"):
        assert any(part in name for name in found), part
    assert not any("symbols" in name or "head" in name.split(".") for name in found)
