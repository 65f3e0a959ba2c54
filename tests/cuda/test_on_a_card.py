"""What only a CUDA card can show. Skipped, and counted as skipped, elsewhere; `make gpu-check` measures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.networks import CASES, make_batch
from tests.support.runs import differing, prepare, records, train
from tests.training.test_update import LEARNING, ROWS, state_of
from trm_cli.models.network import Network
from trm_cli.training.distributed.sharding import shard
from trm_cli.training.loss_scale import LossScale
from trm_cli.training.optimizers.eager import AdamW
from trm_cli.training.signals import StopRequest
from trm_cli.training.state import TrainingState
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
    for name, value in processor.model.state_dict().items():
        torch.testing.assert_close(card.model.state_dict()[name].cpu(), value, rtol=1e-3, atol=2e-3)


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
