"""What only a CUDA card can show. Skipped, and counted as skipped, elsewhere; `make gpu-check` measures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import capsules
from tests.support.networks import CASES, make_batch
from tests.support.runs import differing, prepare, records, train
from tests.training.test_update import LEARNING, ROWS, state_of
from trm_cli.models.network import Network
from trm_cli.training.averages import drain
from trm_cli.training.batch_transfer import BatchTransfer
from trm_cli.training.distributed.sharding import shard
from trm_cli.training.optimizers.eager import AdamW
from trm_cli.training.signals import StopRequest
from trm_cli.training.state.loss_scale import LossScale
from trm_cli.training.state.training_state import TrainingState
from trm_cli.training.step import StepSettings, settle, update

pytestmark = pytest.mark.requires_cuda
CARD = ("device=cuda", "compile=false", "precision=float32")


@pytest.fixture
def group() -> Iterator[None]:
    """A process group of this process alone, over NCCL."""
    import torch.distributed as dist

    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def moved(name: str, precision: str = "float32", **more: Any) -> TrainingState:
    """A new state on the card."""
    return state_of(CASES[name].model(precision).to("cuda"), **more)


def mean_loss(state: TrainingState) -> float:
    """The mean loss of all its updates, which rounding moves less than it moves the signs of small gradients."""
    return drain(state, ROWS).means["loss"] or 0.0


def one_update(state: TrainingState, number: int, settings: StepSettings) -> None:
    """One more update, of the rows of that number."""
    batch = {name: value.cuda() for name, value in make_batch(number, ROWS).items()}
    draws = torch.rand(ROWS, 2, generator=torch.Generator().manual_seed(number)).cuda()
    update(state, batch, draws, LEARNING, settings)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", ["attention", "mlp_t", "six", "hrm", "transformer"])
def test_a_later_update_waits_for_nothing(name: str, precision: str) -> None:
    state = moved(name, precision, scaler=LossScale("cuda") if precision == "float16" else None)
    settings = StepSettings(ROWS, 1.0, read_later=True)
    one_update(state, 0, settings)
    one_update(state, 1, settings)
    batch = {name: value.cuda() for name, value in make_batch(2, ROWS).items()}
    draws, clock = torch.rand(ROWS, 2).cuda(), torch.zeros(6, device="cuda")
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        update(state, batch, draws, LEARNING, settings, type(LEARNING)(*clock.unbind()))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    settle(state, settings)
    assert all(value.isfinite().all() for value in state.model.state_dict().values())


@pytest.mark.parametrize("name", ["attention", "mlp_t", "hrm"])
def test_a_card_learns_what_a_processor_learns(name: str) -> None:
    card, processor = moved(name), state_of(CASES[name].model())
    for number in range(2):
        one_update(card, number, StepSettings(ROWS, 1.0))
        draws = torch.rand(ROWS, 2, generator=torch.Generator().manual_seed(number))
        update(processor, make_batch(number, ROWS), draws, LEARNING, StepSettings(ROWS, 1.0))
    assert mean_loss(card) == pytest.approx(mean_loss(processor), rel=2e-3)


def capsules_state(precision: str = "float32", **options: Any) -> TrainingState:
    """A new state of the network with capsules on the card; options: how it is compiled, if at all."""
    # Chance and the Q-network would choose other steps for other bits.
    model = capsules.make(forward_dtype=precision, enable_dqn=False).to("cuda")
    if options:
        model.compile_stacks(**options)
    return state_of(model, scaler=LossScale("cuda") if precision == "float16" else None)


def capsules_updated(state: TrainingState, transfer: BatchTransfer, number: int, *, graphs: bool = False) -> None:
    """One more update of grids with demonstrations, texts and pictures, as the loop makes it."""
    fields = {name: value.numpy() for name, value in capsules.make_batch(ROWS, number).items()}
    draws = capsules.make_draws(state.model, ROWS, number).numpy()  # type: ignore[arg-type]
    clock = capsules.Values(lr=1e-2, puzzle_emb_lr=1e-2)
    sent = transfer.send(fields, draws, clock)
    settings = StepSettings(ROWS, 1.0, read_later=True, keep_gradients=graphs)
    update(state, sent.batch, sent.draws, clock, settings, sent.clock, sent.layouts)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_later_update_of_capsules_waits_for_nothing(precision: str) -> None:
    state = capsules_state(precision)
    transfer = BatchTransfer(state, torch.device("cuda"), None)
    for number in range(3):
        capsules_updated(state, transfer, number)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number in range(3, 6):
            capsules_updated(state, transfer, number)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    settle(state, StepSettings(ROWS, 1.0))
    assert all(value.isfinite().all() for value in state.model.parameters())


@pytest.mark.parametrize("options", [{}, {"graphs": False}, {"graphs": True}], ids=["eager", "compiled", "graphs"])
def test_capsules_on_a_card_learn_what_a_processor_learns(options: dict[str, Any]) -> None:
    processor = state_of(capsules.make(enable_dqn=False))
    card = capsules_state(**options)
    transfers = {
        "cpu": BatchTransfer(processor, torch.device("cpu"), None),
        "cuda": BatchTransfer(card, torch.device("cuda"), None),
    }
    for number in range(3):
        capsules_updated(processor, transfers["cpu"], number)
        capsules_updated(card, transfers["cuda"], number, graphs=options.get("graphs", False))
    assert mean_loss(card) == pytest.approx(mean_loss(processor), rel=2e-3)


@pytest.mark.parametrize("micro_batch_size", [None, 4])
@pytest.mark.parametrize("name", ["attention", "mlp_t", "hrm"])
def test_graphs_learn_what_kernels_one_by_one_learn(name: str, micro_batch_size: int | None) -> None:
    states = [moved(name), moved(name)]
    states[1].model.compile_stacks(graphs=True)
    for number in range(4):
        for state in states:
            graphs = state is states[1]
            settings = StepSettings(ROWS, 1.0, micro_batch_size, read_later=True, keep_gradients=graphs)
            one_update(state, number, settings)
    assert mean_loss(states[1]) == pytest.approx(mean_loss(states[0]), rel=2e-3)


def test_capsules_have_a_deterministic_kernel_for_everything() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        states = [state_of(capsules.make().to("cuda")) for _ in range(2)]
        for state in states:
            transfer = BatchTransfer(state, torch.device("cuda"), None)
            for number in range(3):
                capsules_updated(state, transfer, number)
            settle(state, StepSettings(ROWS, 1.0))
    finally:
        torch.use_deterministic_algorithms(False)
    assert differing(states[0].state_dict(), states[1].state_dict()) == []


def test_deterministic_runs_are_the_same_and_resume_to_the_same_bits(tmp_path: Path, dataset: Path) -> None:
    words = (*CARD, "deterministic=true", "arch.puzzle_emb_ndim=16")
    try:
        whole = train(dataset, tmp_path / "whole", *words)
        train(dataset, tmp_path / "parts", *words, stop_at_step=7)
        parts = train(dataset, tmp_path / "parts", *words)
    finally:
        torch.use_deterministic_algorithms(False)
    assert differing(whole.state.state_dict(), parts.state.state_dict()) == []


def test_ten_updates_share_a_record(tmp_path: Path, dataset: Path) -> None:
    run, recorder = prepare(dataset, tmp_path / "run", *CARD)
    with StopRequest() as stop:
        run.train(recorder, stop)
    assert [record["step"] for record in records(tmp_path / "run", "train")] == [1, 10, 20, 30]


@pytest.mark.usefixtures("group")
@pytest.mark.parametrize("compiled", [False, True])
def test_shards_train_with_a_fused_optimizer(compiled: bool) -> None:
    model: Network = CASES["attention"].model().to("cuda")
    if compiled:
        model.compile_stacks()
    shard(model, count=1, device_type="cuda", precision="float32")
    state = state_of(model)
    state.trunk_optimizer, state.sharded = AdamW(model.trunk_parameters(), lr=1e-2, fused=True), True
    for number in range(3):
        one_update(state, number, StepSettings(ROWS, None, read_later=True))
    assert settle(state, StepSettings(ROWS, None)) is None and state.skipped == 0
