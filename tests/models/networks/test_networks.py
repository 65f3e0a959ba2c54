"""Properties of the networks: sizes, initial values, gradients, precision, compiling, names."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.networks import CASES, HRM, TRANSFORMER, TRM, Case, make_batch
from tests.support.selection import slow_but
from trm_cli.config.compose import compose
from trm_cli.models.families import FAMILIES, create_network
from trm_cli.models.layers.rotary import board_rope_tables
from trm_cli.models.networks.shared.token_network import TokenNetwork
from trm_cli.models.networks.trm import TrmConfig
from trm_cli.schedule.clock import SETTLED

torch.set_num_threads(1)

PUBLISHED: dict[str, Any] = {
    "hidden_size": 512,
    "num_heads": 8,
    "expansion": 4,
    "pos_encodings": "rope",
    "rope_theta": 10000.0,
    "halt_max_steps": 16,
    "halt_exploration_prob": 0.1,
    "puzzle_emb_ndim": 512,
}
PUBLISHED_TRM: dict[str, Any] = {
    **PUBLISHED,
    "H_cycles": 3,
    "L_cycles": 6,
    "L_layers": 2,
    "mlp_t": False,
    "puzzle_emb_len": 16,
    "no_ACT_continue": True,
    "latent": "two",
}
PUBLISHED_HRM: dict[str, Any] = {
    **PUBLISHED,
    "H_cycles": 2,
    "L_cycles": 2,
    "H_layers": 4,
    "L_layers": 4,
    "puzzle_emb_len": 1,
}


@pytest.mark.parametrize(
    ("family", "settings", "vocabulary", "sequence", "count"),
    [
        pytest.param("trm", {**PUBLISHED_TRM, "mlp_t": True, "pos_encodings": "none"}, 11, 81, 5_028_866, id="sudoku"),
        pytest.param("trm", PUBLISHED_TRM, 11, 81, 6_828_034, id="sudoku-attention"),
        pytest.param("trm", PUBLISHED_TRM, 6, 900, 6_822_914, id="maze"),
        pytest.param("trm", PUBLISHED_TRM, 12, 900, 6_829_058, id="arc"),
        pytest.param("hrm", PUBLISHED_HRM, 12, 900, 27_276_290, id="hrm"),
        pytest.param(
            "transformer",
            {**PUBLISHED, "H_cycles": 1, "H_layers": 8, "num_heads": 12, "puzzle_emb_len": 1},
            12,
            900,
            27_145_218,
            id="transformer",
        ),
    ],
)
def test_published_parameter_counts(
    family: str, settings: dict[str, Any], vocabulary: int, sequence: int, count: int
) -> None:
    model = create_network(
        FAMILIES[family].model_validate(settings), vocab_size=vocabulary, seq_len=sequence, num_puzzle_identifiers=2
    )
    assert isinstance(model, TokenNetwork)
    assert sum(parameter.numel() for parameter in model.trunk_parameters()) == count


@pytest.mark.parametrize(
    ("name", "vocabulary", "sequence", "count"),
    [
        ("trm", 11, 81, 6_828_034),
        ("trm_sudoku", 11, 81, 5_028_866),
        ("trm_sudoku_att", 11, 81, 6_828_034),
        ("trm_singlez", 11, 81, 6_828_034),
        ("trm_hier6", 11, 81, 6_828_034),
        ("trm_maze", 6, 900, 6_822_914),
        ("trm_arc", 12, 900, 6_829_058),
        ("hrm", 11, 81, 27_275_266),
        ("hrm", 12, 900, 27_276_290),
        ("transformer_baseline", 12, 900, 27_145_218),
    ],
)
def test_shipped_architectures_have_the_published_sizes(name: str, vocabulary: int, sequence: int, count: int) -> None:
    architecture = compose(None, [f"arch={name}"]).config.arch
    with torch.device("meta"):
        model = create_network(
            architecture,
            vocab_size=vocabulary,
            seq_len=sequence,
            num_puzzle_identifiers=2,
        )
    assert isinstance(model, TokenNetwork)
    assert sum(parameter.numel() for parameter in model.trunk_parameters()) == count


@pytest.mark.parametrize("name", CASES)
def test_gradient_reaches_every_parameter_and_the_carry_is_detached(name: str) -> None:
    model = CASES[name].model()
    result = model(model.initial_carry(make_batch(0)), make_batch(0), SETTLED, torch.rand(5, 2))
    result.loss.backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        gradient = parameter.grad.to_dense() if parameter.grad.is_sparse else parameter.grad
        assert gradient.isfinite().all(), key
        assert gradient.any(), key
    assert not any(z.requires_grad for z in result.carry.z.values())
    assert not any(term.requires_grad for term in result.terms.values())
    assert result.loss.item() == pytest.approx(sum(term.item() for term in result.terms.values()), rel=1e-5)


def test_table_gradient_is_sparse_and_belongs_to_the_carried_rows() -> None:
    model = CASES["attention"].model()
    first, second = make_batch(0), make_batch(1)
    with torch.no_grad():
        model.q_head.weight.zero_()
        model.q_head.bias.fill_(-5)  # nobody halts
        carry, _ = model.advance(model.initial_carry(first), first, SETTLED, torch.rand(5, 2))
    model(carry, second, SETTLED, torch.rand(5, 2)).loss.backward()
    assert model.puzzle_embedding is not None
    gradient = model.puzzle_embedding.weight.grad
    assert gradient is not None
    assert gradient.is_sparse
    assert set(gradient.coalesce().indices()[0].tolist()) == set(first["puzzle_identifiers"].tolist())


def test_rotary_positions_of_a_board_turn_by_row_and_column_after_the_puzzle_tokens() -> None:
    settings = {**TRM, "pos_encodings": "rope_2d"}
    model = Case("trm", settings).model()
    head = settings["hidden_size"] // settings["num_heads"]
    expected = board_rope_tables(9, settings["puzzle_emb_len"], head, settings["rope_theta"])
    assert model.rope_cos is not None and torch.equal(model.rope_cos, expected.cos)
    assert model.rope_sin is not None and torch.equal(model.rope_sin, expected.sin)
    batch = make_batch(0)
    model(model.initial_carry(batch), batch, SETTLED, torch.rand(5, 2)).loss.backward()
    assert Case("trm", {**settings, "mlp_t": True}).model().rope_cos is None


NEIGHBOURS = {**TRM, "neighbours": True, "pos_encodings": "none", "puzzle_emb_ndim": 0, "puzzle_emb_len": 0}


def test_cells_that_see_their_neighbours_alone_learn_of_others_call_by_call() -> None:
    near = {**NEIGHBOURS, "H_cycles": 1, "L_cycles": 1, "L_layers": 1}
    model = create_network(TrmConfig(**near), vocab_size=7, seq_len=49, num_puzzle_identifiers=1)
    with torch.no_grad():
        model.q_head.weight.normal_()
    batch = {"inputs": torch.full((1, 49), 2), "labels": torch.full((1, 49), 2), "puzzle_identifiers": torch.zeros(1)}
    other = batch | {"inputs": batch["inputs"].index_fill(1, torch.tensor([48]), 3)}
    for step, first in enumerate((4, 2, 0)):  # one block for z_L and one for z_H in each step
        found = []
        for rows in (batch, other):
            carry = model.initial_carry(rows)
            for _ in range(step + 1):
                carry, outputs = model.advance(carry, rows)
            found.append(outputs)
        changed = (found[0].logits != found[1].logits).any(2).view(7, 7)
        rows, columns = changed.nonzero().T
        assert int(rows.min()) == int(columns.min()) == first
        assert found[0].q_halt != found[1].q_halt  # which is read from all cells, the last one too


def test_gradient_reaches_the_weights_between_neighbours() -> None:
    model, batch = Case("trm", NEIGHBOURS).model(), make_batch(0)
    model(model.initial_carry(batch), batch, SETTLED, torch.rand(5, 2)).loss.backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), key


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"mlp_t": True}, "mlp_t"),
        ({"causal": True}, "causal"),
        ({"puzzle_emb_ndim": 16, "puzzle_emb_len": 1}, "puzzle_emb_ndim"),
        ({"pos_encodings": "rope_2d"}, "pos_encodings"),
        ({}, None),
    ],
)
def test_what_cells_that_see_their_neighbours_alone_cannot_have(settings: dict[str, Any], key: str | None) -> None:
    found = [name for name, _ in TrmConfig(**{**NEIGHBOURS, **settings}).conflicts()]
    assert found == ([] if key is None else [key])


def test_neighbours_are_for_square_boards() -> None:
    with pytest.raises(ValueError, match="neighbours is for square boards, and 12 cells make none"):
        create_network(TrmConfig(**NEIGHBOURS), vocab_size=7, seq_len=12, num_puzzle_identifiers=1)


def test_halting_values_start_at_minus_five_whatever_the_input() -> None:
    torch.manual_seed(0)
    model = create_network(TrmConfig(**TRM), vocab_size=7, seq_len=9, num_puzzle_identifiers=5)
    _, outputs = model.advance(model.initial_carry(make_batch(0)), make_batch(0))
    assert outputs.q_halt.tolist() == [-5.0] * 5
    assert outputs.q_continue.tolist() == [-5.0] * 5


def test_initial_values_are_drawn_in_the_published_order() -> None:
    torch.manual_seed(5)
    model = create_network(TrmConfig(**TRM), vocab_size=7, seq_len=9, num_puzzle_identifiers=5)
    torch.manual_seed(5)
    expected = {}
    for key, shape, deviation in [
        ("embed_tokens", (7, 32), 32**-0.5),
        ("lm_head", (7, 32), 32**-0.5),
        ("thrown away", (2, 32), 32**-0.5),
        *(
            (f"L_level.layers.{i}.{part}", shape, shape[1] ** -0.5)
            for i in range(2)
            for part, shape in [("qkv", (96, 32)), ("out", (32, 32)), ("gate_up", (512, 32)), ("down", (32, 256))]
        ),
        ("H_init", (32,), 1.0),
        ("L_init", (32,), 1.0),
    ]:
        edge = torch.erf(torch.tensor(2**0.5, dtype=torch.float64)).item()
        uniform = torch.empty(shape).uniform_(-edge, edge)
        expected[key] = (torch.erfinv(uniform) * 2**0.5 * deviation / 0.87962566).clamp(-2.2737 * deviation, None)
    state = model.state_dict()
    for key in expected.keys() - {"thrown away"}:
        torch.testing.assert_close(state[key], expected[key], rtol=1e-5, atol=1e-6)


def test_names_in_the_state_dict_are_stable() -> None:
    attention = {"qkv", "out", "gate_up", "down"}
    tokens = {"token_gate_up", "token_down", "gate_up", "down"}
    shared = {"embed_tokens", "lm_head", "q_head.weight", "q_head.bias", "puzzle_embedding.weight", "H_init"}
    blocks = {f"L_level.layers.{i}.{part}" for i in range(2) for part in attention}
    mixer = {f"L_level.layers.{i}.{part}" for i in range(2) for part in tokens}
    assert set(CASES["attention"].model().state_dict()) == shared | blocks | {"L_init"}
    assert set(CASES["mlp_t"].model().state_dict()) == shared | mixer | {"L_init"}
    assert set(CASES["single"].model().state_dict()) == (shared | blocks | {"L_init"}) - {"H_init"}
    first = {name for name in blocks if name.startswith("L_level.layers.0.")}
    assert set(CASES["six"].model().state_dict()) == shared | first | {f"L{i}_init" for i in range(1, 7)}
    assert "embed_positions" in CASES["learned_positions"].model().state_dict()
    assert "H_level.layers.1.qkv" in CASES["hrm"].model().state_dict()


@pytest.mark.parametrize("name", ["attention", "mlp_t", "hrm", "transformer"])
def test_bfloat16_is_finite_and_close(name: str) -> None:
    exact, rough = CASES[name].model(), CASES[name].model("bfloat16")
    batch, draws = make_batch(0), torch.rand(5, 2)
    rough_result = rough(rough.initial_carry(batch), batch, SETTLED, draws)
    exact_result = exact(exact.initial_carry(batch), batch, SETTLED, draws)
    rough_result.loss.backward()
    assert rough_result.carry.z["z_H"].dtype == torch.bfloat16
    assert all(p.dtype == torch.float32 for p in rough.parameters())
    assert rough_result.loss.item() == pytest.approx(exact_result.loss.item(), rel=0.03)
    assert all(p.grad is not None and p.grad.to_dense().isfinite().all() for p in rough.parameters())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["attention", "mlp_t", "six", "hrm", "transformer"])
def test_activations_computed_twice_give_the_same_bits(name: str, dtype: str) -> None:
    kept, twice = CASES[name].model(dtype), CASES[name].model(dtype)
    twice.recompute_activations()
    batch, draws, saved = make_batch(0), torch.rand(5, 2), []
    for model in (kept, twice):
        sizes: dict[int, int] = {}
        keep = partial(_record_size, sizes)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            result = model(model.initial_carry(batch), batch, SETTLED, draws)
        result.loss.backward()
        saved.append(sum(sizes.values()))
    assert saved[1] < 0.6 * saved[0]
    for (key, a), (_, b) in zip(kept.named_parameters(), twice.named_parameters(), strict=True):
        assert a.grad is not None and b.grad is not None
        assert torch.equal(b.grad.to_dense(), a.grad.to_dense()), key


def _record_size(sizes: dict[int, int], tensor: torch.Tensor) -> torch.Tensor:
    """Note the storage that the backward pass keeps, each one once."""
    storage = tensor.untyped_storage()
    sizes[storage.data_ptr()] = storage.nbytes()
    return tensor


# Dynamo looks at `.grad` of its inputs; torch warns about that outside a test run as well, but hides it there.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize("name", slow_but(["attention", "mlp_t", "hrm"], "attention", "mlp_t"))
def test_compiled_stacks_give_equal_results(name: str) -> None:
    plain, compiled = CASES[name].model(), CASES[name].model()
    torch._dynamo.reset()
    compiled.compile_stacks(backend="eager")
    batch, draws = make_batch(0), torch.rand(5, 2)
    results = [m(m.initial_carry(batch), batch, SETTLED, draws) for m in (plain, compiled)]
    for model, result in zip((plain, compiled), results, strict=True):
        result.loss.backward()
        assert list(model.state_dict()) == list(plain.state_dict())
    torch.testing.assert_close(results[1].outputs.logits, results[0].outputs.logits, rtol=1e-4, atol=1e-5)
    for (key, a), (_, b) in zip(plain.named_parameters(), compiled.named_parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        torch.testing.assert_close(b.grad.to_dense(), a.grad.to_dense(), rtol=1e-3, atol=1e-4, msg=key)


def test_one_seed_gives_one_network_at_every_precision() -> None:
    for key, value in CASES["attention"].model("float32").state_dict().items():
        assert torch.equal(value, CASES["attention"].model("bfloat16").state_dict()[key])


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        ("trm", {**TRM, "latent": "three"}, "latent"),
        ("trm", {**TRM, "latent": "six", "L_cycles": 7}, "scratch states"),
        ("trm", {**TRM, "H_cycles": 0}, "H_cycles"),
        ("trm", {**TRM, "pos_encodings": "sine"}, "pos_encodings"),
        ("trm", {**TRM, "pos_encodings": "rope_2d", "num_heads": 16}, "head width that four divides"),
        ("trm", {**TRM, "puzzle_emb_ndim": 100}, "2 positions of width 32 hold 64 numbers"),
        ("trm", {**TRM, "halt_exploration_prob": 1.5}, "halt_exploration_prob"),
        ("trm", {**TRM, "num_heads": 64}, "no width"),
        ("hrm", {**HRM, "H_layers": 0}, "H_layers"),
        ("transformer", {**TRANSFORMER, "H_layers": 0}, "H_layers"),
    ],
)
def test_impossible_settings_are_refused(family: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_network(FAMILIES[family].model_validate(settings), vocab_size=7, seq_len=9, num_puzzle_identifiers=5)


def test_puzzle_tokens_default_to_as_many_as_the_table_needs() -> None:
    model = Case("trm", {**TRM, "puzzle_emb_len": 0, "puzzle_emb_ndim": 33}).model()
    assert model.config.puzzle_tokens == 2
    words = ["arch=trm_sudoku_att", "arch.puzzle_emb_len=0", "arch.puzzle_emb_ndim=600"]
    assert compose("sudoku-4x4", words).config.arch.puzzle_tokens == 2  # type: ignore[attr-defined]


def test_the_baseline_without_recursion_learns_when_to_go_on() -> None:
    """As HRM and unlike the original, whose target for it is never computed: docs/architectures.md says so."""
    model = CASES["transformer"].model()
    batch = make_batch(0, 3)
    result = model(model.initial_carry(batch), batch, SETTLED, torch.rand(3, model.draws_per_row))
    assert result.terms["q_continue_loss"] > 0
    page = (Path(__file__).parents[3] / "docs/architectures.md").read_text()
    assert "`transformer_baseline` learns q_continue as HRM does" in page


def test_listing_the_families_loads_no_torch() -> None:
    code = "import sys, trm_cli.models.families as m; assert len(m.FAMILIES) >= 4; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
