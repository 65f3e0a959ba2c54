"""What is compiled is compiled once: graphs are counted over changing batches, micro batches and evaluations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tests.support import capsules
from tests.support.capsules import KINDS
from tests.support.networks import CASES, HRM, Case, make_batch
from tests.support.selection import slow_but
from trm_cli.models.hesc.model import MultimodalHesc
from trm_cli.models.hesc.rows.kinds import Kind
from trm_cli.models.hesc.rows.layout import Extent
from trm_cli.models.kernels import compiling
from trm_cli.models.networks.shared.token_network import TokenNetwork
from trm_cli.models.thinking import think
from trm_cli.training.step import on_device

#: torch looks at `.grad` of what it traces.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")

#: HRM whose networks are of different depths: their code is the same, their graphs are not.
UNEVEN = Case("hrm", {**HRM, "H_layers": 3, "L_layers": 1})
NETWORKS = {**{name: CASES[name] for name in ("attention", "mlp_t", "six", "transformer")}, "hrm": UNEVEN}
#: Graphs of a stack: with a gradient, without one, in an evaluation, each once more for any number of rows, and one
#: for a single row. torch falls back to no compilation at all beyond 8.
PER_STACK = 7


@pytest.fixture(autouse=True)
def counters() -> Iterator[dict[str, Any]]:
    """What the compiler counts; it is as if new, before and after."""
    from torch._dynamo.utils import counters as found  # seconds, which a test process without these tests saves

    torch._dynamo.reset()
    found.clear()
    yield found
    torch._dynamo.reset()
    found.clear()


def compiled(case: Case) -> TokenNetwork:
    """A network whose graphs are traced and run as they are."""
    model = case.model()
    model.compile_stacks(backend="eager")
    return model


def trained(model: TokenNetwork, rows: int, first: int) -> None:
    """Three training steps of `rows` rows, as of a slice of a batch."""
    carry = model.train().initial_carry(make_batch(first, rows))
    for number in range(first, first + 3):
        draws = torch.rand(rows, 2, generator=torch.Generator().manual_seed(number))
        result = model(carry, make_batch(number, rows), draws=draws)
        result.loss.backward()
        carry = result.carry


def evaluated(model: TokenNetwork, rows: int, first: int) -> None:
    """An evaluation of `rows` rows, of which halted ones leave."""
    model.eval()
    for _ in think(model, make_batch(first, rows), policy="bce"):
        pass


def graphs() -> int:
    """How many there are."""
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])


@pytest.mark.parametrize("name", slow_but(NETWORKS, "attention"))
def test_nothing_is_compiled_again_and_nothing_runs_uncompiled(name: str, counters: dict[str, Any]) -> None:
    model = compiled(NETWORKS[name])
    for rows in (6, 4, 3):  # a batch, a micro batch, the last slice
        trained(model, rows, 0)
        evaluated(model, rows, 0)
    most = graphs()
    assert 0 < most <= PER_STACK * len(model.config.stacks)
    for rows in (6, 4, 3, 5):
        trained(model, rows, 10)
        evaluated(model, rows, 10)
    assert graphs() == most, "compiled again"
    assert not counters["graph_break"] and not counters["unimplemented"]


def capsules_trained(model: MultimodalHesc, rows: int, first: int, kinds: tuple[Kind, ...], pairs: int) -> None:
    """Three training steps of `rows` rows, as of a slice of a batch."""
    batches = [capsules.make_batch(rows, number, kinds=kinds, pairs=pairs) for number in range(first, first + 4)]
    carry = model.train().initial_carry(batches.pop())
    for number, batch in enumerate(batches, first):
        clock = on_device(capsules.Values(), torch.device("cpu"))
        result = model(carry, batch, clock, capsules.make_draws(model, rows, number))
        result.loss.backward()
        carry = result.carry


@pytest.mark.parametrize(("pairs", "count"), [(0, 2), pytest.param(2, 4, marks=pytest.mark.slow)])
def test_a_pass_of_the_capsule_network_is_one_graph_whatever_the_rows(
    pairs: int, count: int, counters: dict[str, Any]
) -> None:
    model = capsules.make(H_cycles=1, enable_latent_planning=False, enable_expansion=False, enable_dqn=False)
    model.compile_stacks(backend="eager")
    for rows in (6, 4):
        capsules_trained(model, rows, 0, (Kind.GRID,), pairs)
    assert graphs() == count, "of grids and of demonstrations, for so many rows, and for any number"
    for rows in (6, 4, 3, 5):
        capsules_trained(model, rows, 10, (Kind.GRID,), pairs)
    assert graphs() == count, "compiled again"
    assert not counters["graph_break"] and not counters["unimplemented"]


@pytest.mark.slow
@pytest.mark.parametrize(("as_graphs", "kinds"), [(False, KINDS), (True, (Kind.GRID,))])
def test_all_kinds_and_parts_of_the_capsule_network_are_compiled_once(
    as_graphs: bool, kinds: tuple[Kind, ...], counters: dict[str, Any]
) -> None:
    model = capsules.make(H_cycles=1)
    # Also the backward pass is traced, for which nothing may have moved that it needs.
    model.compile_stacks(backend="aot_eager", graphs=as_graphs)

    def both(rows: int, first: int) -> None:
        capsules_trained(model, rows, first, kinds, pairs=2)
        model.eval()
        for _ in think(model, capsules.make_batch(rows, first, kinds=kinds), policy="bce"):
            pass

    # So many of a kind, any number, and a single one: for each torch has a graph; and of demonstrations, up to two a
    # row, one for fewer than 16 and one for 16 and more, for which it chooses another convolution.
    for rows in (9, 8, 6, 3, 1):
        both(rows, 0)
    most = graphs()
    for rows in (9, 5, 8, 3):
        both(rows, 10)
    # Of kinds and of demonstrations, as many as of a stack.
    assert graphs() == most <= PER_STACK * (len(kinds) + 1)
    assert not counters["graph_break"] and not counters["unimplemented"]


@pytest.mark.parametrize("precision", slow_but(["float32", "bfloat16"], "float32"))
def test_rows_that_stand_for_the_shape_alone_teach_nothing(precision: str) -> None:
    plain, stepped = (capsules.make(forward_dtype=precision) for _ in range(2))
    stepped.network.extent = Extent.STEPS
    whole = capsules.make(forward_dtype=precision)
    whole.network.extent = Extent.WHOLE
    for model in (plain, stepped, whole):
        capsules_trained(model, 7, 0, KINDS, pairs=2)
    tolerance = {"float32": 1e-4, "bfloat16": 0.1}[precision]
    for (name, weight), other, third in zip(
        plain.named_parameters(), stepped.parameters(), whole.parameters(), strict=True
    ):
        for found in (other, third):
            wanted, grad = weight.grad.to_dense(), found.grad.to_dense()
            assert (wanted - grad).norm() <= tolerance * wanted.norm() + 1e-5, name


def test_each_stack_has_graphs_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len({id(function.__code__) for function in originals(compiled(UNEVEN))}) == 2
    monkeypatch.setattr(compiling, "own_copy", lambda function: function)  # one limit for all of them
    assert len({id(function.__code__) for function in originals(compiled(UNEVEN))}) == 1


def originals(model: TokenNetwork) -> list[Any]:
    """The functions that were given to the compiler."""
    return [one.compute.__closure__[0].cell_contents._torchdynamo_orig_callable for one in model.stacks().values()]  # type: ignore[attr-defined]


def test_compiling_sets_nothing_for_the_whole_process() -> None:
    from torch._functorch import config as functorch

    before = functorch.activation_memory_budget
    trained(compiled(NETWORKS["attention"]), 4, 0)
    assert functorch.activation_memory_budget == before
