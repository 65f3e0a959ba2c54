"""One update: in slices as in one piece, clipped part by part, and skipped where its numbers are not finite."""

from __future__ import annotations

import errno
import io
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tests.support import capsules as making
from tests.support.dispatch import as_on_a_device
from tests.support.networks import CASES, make_batch
from tests.support.runs import differing, prepare, records, train
from tests.support.selection import slow_but
from trm_cli.errors import TrmError
from trm_cli.models.supervision.carry import join_carries
from trm_cli.schedule.clock import Clock
from trm_cli.training import step
from trm_cli.training.gradients import clip_gradients, gradient_groups, gradient_norms
from trm_cli.training.loop import Loop
from trm_cli.training.optimizers.adam_atan2 import AdamATan2
from trm_cli.training.optimizers.sign_sgd import SignSGD
from trm_cli.training.signals import StopRequest
from trm_cli.training.state.ema import EMA
from trm_cli.training.state.loss_scale import LossScale
from trm_cli.training.state.training_state import TrainingState
from trm_cli.training.step import Skipped, StepSettings, update

ROWS = 6
ATTENTION = ("arch.num_heads=2", "arch.L_cycles=2", "arch.H_cycles=2", "arch.puzzle_emb_ndim=16")
LEARNING = Clock(lr=1e-2, puzzle_emb_lr=1e-2)


def state_of(model: nn.Module, **more: Any) -> TrainingState:
    """A new state around a model."""
    return TrainingState(
        model=model,
        trunk_optimizer=AdamATan2(model.trunk_parameters(), 1e-2),  # type: ignore[operator]
        puzzle_optimizer=SignSGD(model.puzzle_embedding.weight, weight_decay=0.1),  # type: ignore[arg-type, union-attr]
        ema=EMA(model, 0.9),  # type: ignore[arg-type]
        groups=gradient_groups(model),
        **more,
    )


def carried_on(name: str, settings: StepSettings, *, updates: int = 4, dtype: str = "float64") -> TrainingState:
    """A state after some updates of a small network of tests/support/networks.py."""
    state = state_of(CASES[name].model(dtype))
    for number in range(updates):
        draws = torch.rand(ROWS, 2, generator=torch.Generator().manual_seed(number))
        assert update(state, make_batch(number, ROWS), draws, LEARNING, settings) is None
    return state


def flat(state: TrainingState) -> dict[str, torch.Tensor]:
    """Every tensor of a state by its path."""

    def walk(name: str, value: Any) -> dict[str, torch.Tensor]:
        if isinstance(value, torch.Tensor):
            return {name: value}
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return {path: leaf for key, part in items for path, leaf in walk(f"{name}.{key}", part).items()}

    return walk("state", state.state_dict())


@cache
def undivided(name: str) -> dict[str, torch.Tensor]:
    """What a network is after updates by whole batches; for reading alone."""
    return flat(carried_on(name, StepSettings(ROWS, 0.5)))


@pytest.mark.parametrize("size", slow_but([1, 4, 6, 100], 1, 4, 100))
@pytest.mark.parametrize("name", ["attention", "mlp_t", "hrm"])
def test_slices_add_up_to_the_whole_batch(name: str, size: int) -> None:
    parts = carried_on(name, StepSettings(ROWS, 0.5, size))
    left, right = undivided(name), flat(parts)
    assert left.keys() == right.keys() and len(left) > 30
    for path, value in left.items():
        close = {"rtol": 1e-9, "atol": 1e-11} if value.dtype == torch.float64 else {"rtol": 2e-6, "atol": 1e-6}
        torch.testing.assert_close(value, right[path], **close, msg=lambda text, path=path: f"{path}: {text}")


def test_slices_of_the_capsule_model_learn_and_fill_its_replay() -> None:
    state = state_of(making.make())
    for number in range(4):
        batch, draws = making.make_batch(ROWS, seed=number), torch.rand(ROWS, int(state.model.draws_per_row))
        settings = StepSettings(ROWS, 1.0, micro_batch_size=4)
        assert update(state, batch, draws, replace(making.Values(), lr=1e-2, puzzle_emb_lr=1e-2), settings) is None
    fresh = making.make().state_dict()
    moved = {name for name, value in state.model.state_dict().items() if not torch.equal(value, fresh[name])}
    assert {"q_network.target_hidden", "replay.written"} <= moved
    assert state.sums["updates"] == 4 and state.sums["applied/grad_norm_workspace"] > 0


def test_rows_are_joined_in_their_order() -> None:
    carry = carried_on("attention", StepSettings(ROWS, None)).carry
    assert carry is not None
    again = join_carries([carry.rows(slice(0, 1)), carry.rows(slice(1, 5)), carry.rows(slice(5, 6))])
    assert differing(carry.state_dict(), again.state_dict()) == []


def test_groups_partition_the_trunk() -> None:
    for model in (CASES["hrm"].model(), making.make()):
        gradient_groups(model)
    model = CASES["hrm"].model()
    parameters = list(model.trunk_parameters())
    for groups in ({"a": parameters[1:]}, {"a": parameters, "b": parameters[:1]}):
        with pytest.raises(AssertionError, match="partition"):
            model.gradient_groups = lambda groups=groups: groups  # type: ignore[method-assign]
            gradient_groups(model)


def test_each_group_is_clipped_by_itself() -> None:
    small, large = (nn.Parameter(torch.zeros(4)) for _ in range(2))
    small.grad, large.grad = torch.full((4,), 0.1), torch.full((4,), 30.0)
    groups = {"small": [small], "large": [large], "idle": [nn.Parameter(torch.zeros(2))]}
    norms = gradient_norms(groups)
    assert norms.tolist() == pytest.approx([0.2, 60.0, 0.0])
    clip_gradients(groups, norms, 1.0)
    assert small.grad.tolist() == pytest.approx([0.1] * 4)
    assert torch.linalg.vector_norm(large.grad).item() == pytest.approx(1.0, rel=1e-4)


# --- Numbers that are not finite ---


def poisoned(state: TrainingState, row: int) -> None:
    """One number of one carried row is not a number any more."""
    assert state.carry is not None
    steps, halted = state.carry.steps.clone(), state.carry.halted.clone()
    steps[row], halted[row] = 1, False  # a row that halted would be filled anew
    z_H = state.carry.z["z_H"].clone()
    z_H[row, 3, 2] = float("nan")
    state.carry = replace(state.carry, z={**state.carry.z, "z_H": z_H}, steps=steps, halted=halted)


def test_a_row_that_is_not_finite_costs_one_update_and_starts_anew() -> None:
    state = carried_on("attention", StepSettings(ROWS, 1.0), dtype="float32")
    poisoned(state, 2)
    before = {name: value.clone() for name, value in flat(state).items()}
    draws = torch.tensor([0.0, 0.99]).repeat(ROWS, 1)  # no row may halt before its last step
    skipped = update(state, make_batch(9, ROWS), draws, LEARNING, StepSettings(ROWS, 1.0))
    assert skipped is not None and "the loss is nan" in skipped.reason
    assert (state.skipped, state.skipped_in_a_row) == (1, 1)
    after = flat(state)
    kept = [name for name in before if not name.startswith(("state.carry", "state.sums"))]
    assert len(kept) > 20
    assert [name for name in kept if not torch.equal(before[name], after[name])] == []
    assert state.carry is not None and state.carry.halted[2] and not state.carry.unsound().any()
    assert not state.carry.halted.all()
    assert update(state, make_batch(10, ROWS), draws, LEARNING, StepSettings(ROWS, 1.0)) is None
    assert (state.skipped, state.skipped_in_a_row) == (1, 0)
    assert state.sums["updates"] == 6 and state.sums["applied"] == state.sums["scored"] == 5
    assert not torch.equal(before["state.model.lm_head"], flat(state)["state.model.lm_head"])


def test_what_the_capsule_model_keeps_stays_finite() -> None:
    state = state_of(making.make())
    batch, draws = making.make_batch(ROWS), torch.rand(ROWS, int(state.model.draws_per_row))
    arguments = (batch, draws, replace(making.Values(), lr=1e-2, puzzle_emb_lr=1e-2), StepSettings(ROWS, None))
    assert update(state, *arguments) is None  # type: ignore[arg-type]
    poisoned(state, 1)
    assert update(state, *arguments) is not None  # type: ignore[arg-type]
    assert all(value.isfinite().all() for value in state.model.state_dict().values())
    assert update(state, *arguments) is None  # type: ignore[arg-type]


def test_a_gradient_that_is_not_finite_is_named_and_its_update_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    state = carried_on("mlp_t", StepSettings(ROWS, None), dtype="float32", updates=1)
    model = state.model
    next(iter(model.trunk_parameters())).register_hook(lambda gradient: gradient * float("inf"))  # type: ignore[operator]
    skipped = update(state, make_batch(1, ROWS), torch.rand(ROWS, 2), LEARNING, StepSettings(ROWS, None))
    assert skipped is not None and skipped.reason == "the gradient of trunk is not finite"
    monkeypatch.setattr(step, "finite", lambda loss, norms: torch.tensor([True, False]))
    assert carried_skip(state, StepSettings(ROWS, None))


def carried_skip(state: TrainingState, settings: StepSettings) -> bool:
    """Whether one more update is skipped."""
    batch = make_batch(2, ROWS)
    return update(state, batch, torch.rand(ROWS, 2), LEARNING, settings) is not None


def scaled_update(state: TrainingState, number: int = 2) -> Skipped | None:
    """One more update."""
    draws = torch.rand(ROWS, 2, generator=torch.Generator().manual_seed(number))
    return update(state, make_batch(number, ROWS), draws, LEARNING, StepSettings(ROWS, None))


def test_a_scale_that_can_fall_falls_and_one_that_cannot_is_a_fault() -> None:
    model = CASES["mlp_t"].model("float16")
    scaler = LossScale("cpu", init_scale=4.0)
    state = state_of(model, scaler=scaler)
    next(iter(model.trunk_parameters())).register_hook(lambda gradient: gradient * float("inf"))
    outcomes = [scaled_update(state) for _ in range(4)]
    assert [one is not None and one.fault for one in outcomes] == [False, False, True, True]  # 4 and 2, 1 and below
    assert "the gradient of trunk is not finite in float16 at scale 4, which falls to 2" in str(outcomes[0])
    assert "although nothing scales it up (scale 1)" in str(outcomes[2])
    assert (state.skipped, state.skipped_in_a_row) == (4, 2)
    assert state.sums["scored"] == 4 and state.sums["applied"] == 0


@pytest.mark.parametrize("name", slow_but(["mlp_t", "hrm"], "mlp_t"))
def test_where_the_puzzle_table_alone_overflows_the_scale_falls_until_it_does_not(name: str) -> None:
    # The scaler never sees this gradient: it is the table's own optimizer that takes it.
    model = CASES[name].model("float16")
    state = state_of(model, scaler=LossScale("cpu", init_scale=1024.0))
    largest: list[float] = []

    def overflowing(gradient: torch.Tensor) -> torch.Tensor:
        largest.append(gradient._values().abs().max().item())
        return gradient * (1.0 if largest[-1] < 8 * largest[0] / 1024 or len(largest) == 1 else float("inf"))

    assert model.puzzle_embedding is not None
    model.puzzle_embedding.weight.register_hook(overflowing)
    assert scaled_update(state, 0) is None
    before = model.puzzle_embedding.weight.clone()
    outcomes = [scaled_update(state, number) for number in range(1, 17)]
    skipped = [one for one in outcomes if one is not None]
    assert 3 <= len(skipped) <= 10
    assert not any(one.fault for one in skipped) and outcomes[-3:] == [None] * 3
    assert (
        "the gradient of the puzzle table is not finite in float16 at scale 1024, which falls to 512"
        in skipped[0].reason
    )
    assert (state.skipped, state.skipped_in_a_row) == (len(skipped), 0)
    assert state.scaler is not None and state.scaler.get_scale() == 1024 / 2 ** len(skipped)
    assert not torch.equal(model.puzzle_embedding.weight, before)


def test_a_table_that_overflows_at_every_scale_reaches_the_limit() -> None:
    model = CASES["mlp_t"].model("float16")
    state = state_of(model, scaler=LossScale("cpu", init_scale=8.0))
    assert model.puzzle_embedding is not None
    model.puzzle_embedding.weight.register_hook(lambda gradient: gradient * float("inf"))
    outcomes = [scaled_update(state, number) for number in range(6)]
    assert [one is not None and one.fault for one in outcomes] == [False] * 3 + [True] * 3
    assert state.skipped_in_a_row == 3 and "puzzle table" in str(outcomes[-1])


def test_after_an_overflow_the_scale_waits_for_its_whole_interval() -> None:
    model = CASES["mlp_t"].model("float16")
    state = state_of(model, scaler=LossScale("cpu", init_scale=64.0, growth_interval=3))
    assert model.puzzle_embedding is not None
    assert [scaled_update(state, number) for number in range(2)] == [None, None]
    hook = model.puzzle_embedding.weight.register_hook(lambda gradient: gradient * float("inf"))
    assert scaled_update(state) is not None
    hook.remove()
    scales = []
    for number in range(3):
        assert scaled_update(state, number) is None
        scales.append(state.scaler.get_scale() if state.scaler else None)
    assert scales == [32.0, 32.0, 64.0]


def test_a_loss_that_is_not_finite_leaves_the_scale_alone() -> None:
    model = CASES["mlp_t"].model("float16")
    state = state_of(model, scaler=LossScale("cpu", init_scale=1024.0))
    assert not carried_skip(state, StepSettings(ROWS, None))
    poisoned(state, 0)
    assert carried_skip(state, StepSettings(ROWS, None))
    assert state.scaler is not None and state.scaler.get_scale() == 1024.0


# --- Runs ---


@pytest.fixture
def accidents(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Runs in which a row is poisoned before the updates in `at`."""
    plan = SimpleNamespace(at={8, 17, 18})
    original = Loop._update

    def with_accident(self: Loop, step: int, arrays: Any) -> None:
        if step in plan.at:
            poisoned(self.state, 5)
        original(self, step, arrays)

    monkeypatch.setattr(Loop, "_update", with_accident)
    return plan


@pytest.mark.parametrize("optimizer", slow_but(["adam_atan2", "adamw"], "adam_atan2"))
@pytest.mark.parametrize("later", slow_but([False, True], True))
def test_a_run_with_skipped_updates_resumes_to_the_same_bits(
    accidents: SimpleNamespace,
    tmp_path: Path,
    dataset: Path,
    later: bool,
    optimizer: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ("micro_batch_size=3", "log_interval=1", f"optimizer={optimizer}", *ATTENTION)
    whole = train(dataset, tmp_path / "whole", *words, arch="trm_sudoku_att")
    if later:  # what is read one update later must not change what is computed
        as_on_a_device(monkeypatch)
    for stop in (7, 8, 17):
        train(dataset, tmp_path / "parts", *words, arch="trm_sudoku_att", stop_at_step=stop)
    parts = train(dataset, tmp_path / "parts", *words, arch="trm_sudoku_att")
    assert differing(whole.state.state_dict(), parts.state.state_dict()) == []
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "parts/metrics.jsonl").read_bytes()
    skipped = {record["step"]: record["skipped"] for record in records(tmp_path / "whole", "train")}
    assert {step for step, count in skipped.items() if count} == accidents.at
    assert whole.state.skipped == 3
    assert records(tmp_path / "whole", "train")[7]["loss"] is None


@pytest.mark.parametrize("later", [False, True])
def test_a_run_that_stays_out_of_range_stops_and_keeps_what_it_computed_on(
    accidents: SimpleNamespace, tmp_path: Path, dataset: Path, later: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if later:
        as_on_a_device(monkeypatch)
    accidents.at = set(range(4, 31))
    run, recorder = prepare(dataset, tmp_path / "run", "nonfinite_limit=2", *ATTENTION, arch="trm_sudoku_att")
    with StopRequest() as stop, pytest.raises(TrmError, match="2 updates in a row were skipped") as raised:
        run.train(recorder, stop)
    assert raised.value.exit_code == 1
    assert recorder.notes[0] == "update 4 skipped: the loss is nan"
    path = tmp_path / "run/nonfinite-00000005.pt"
    assert str(path) in raised.value.message
    kept = torch.load(path, weights_only=True)
    assert kept["carry"]["z"]["z_H"][5].isnan().any() and kept["batch"]["inputs"].shape[0] == 8
    assert differing(kept["model"], run.state.model.state_dict()) == []


def test_a_disk_that_is_full_does_not_hide_why_a_run_ends(
    accidents: SimpleNamespace, tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accidents.at = set(range(4, 31))
    run, recorder = prepare(dataset, tmp_path / "run", "nonfinite_limit=2", *ATTENTION, arch="trm_sudoku_att")

    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            if self.tell():
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr("trm_cli.training.nonfinite.atomic_file", lambda path: nullcontext(Full()))
    with StopRequest() as stop, pytest.raises(TrmError, match="2 updates in a row were skipped") as raised:
        run.train(recorder, stop)
    assert "its batch could not be saved" in raised.value.message and "No space left" in raised.value.message
