"""What is compiled is compiled once: graphs are counted over changing batches, micro batches and evaluations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters
from torch._functorch import config as functorch

from tests.support.networks import CASES, HRM, Case, make_batch
from trm_cli.models.layers import stack
from trm_cli.models.networks.shared.token_network import TokenNetwork
from trm_cli.models.thinking import think

#: torch looks at `.grad` of what it traces.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")

#: HRM whose networks are of different depths: their code is the same, their graphs are not.
UNEVEN = Case("hrm", {**HRM, "H_layers": 3, "L_layers": 1})
NETWORKS = {**{name: CASES[name] for name in ("attention", "mlp_t", "six", "transformer")}, "hrm": UNEVEN}
#: Graphs of a stack: with a gradient, without one, in an evaluation, each once more for any number of rows, and one
#: for a single row. torch falls back to no compilation at all beyond 8.
PER_STACK = 7


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    """The compiler is as if new, before and after."""
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()
    counters.clear()


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
    return int(counters["stats"]["unique_graphs"])


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_is_compiled_again_and_nothing_runs_uncompiled(name: str) -> None:
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


def test_each_stack_has_graphs_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len({id(function.__code__) for function in originals(compiled(UNEVEN))}) == 2
    monkeypatch.setattr(stack, "_own_copy", lambda function: function)  # one limit for all of them
    assert len({id(function.__code__) for function in originals(compiled(UNEVEN))}) == 1


def originals(model: TokenNetwork) -> list[Any]:
    """The functions that were given to the compiler."""
    return [one.compute.__closure__[0].cell_contents._torchdynamo_orig_callable for one in model.stacks().values()]  # type: ignore[attr-defined]


def test_compiling_sets_nothing_for_the_whole_process() -> None:
    before = functorch.activation_memory_budget
    trained(compiled(NETWORKS["attention"]), 4, 0)
    assert functorch.activation_memory_budget == before
