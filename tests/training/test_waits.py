"""What an update costs a device, counted on the processor: waits for it, copies to it, types that some lack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_map

from tests.support.dispatch import Traffic, as_on_a_device, tensors
from tests.support.networks import CASES, make_batch
from tests.support.runs import HESC, differing, prepare, records, train
from tests.support.selection import slow_but
from tests.training.test_update import LEARNING, ROWS, poisoned, state_of
from trm_cli.data.text.labels import text_labels
from trm_cli.evaluation.scores.accuracy import evaluate
from trm_cli.models.hesc.network import HescNetwork
from trm_cli.models.hesc.rows.layout import layout_of
from trm_cli.models.upload import packed
from trm_cli.training import loop
from trm_cli.training.gradients import gradient_groups, gradient_norms
from trm_cli.training.hardware.async_host_copy import AsyncHostCopy
from trm_cli.training.loop import Loop
from trm_cli.training.signals import StopRequest
from trm_cli.training.state.loss_scale import LossScale
from trm_cli.training.step import StepSettings, settle, update

TABLE = "arch.puzzle_emb_ndim=16"
SMALL = ("arch.num_heads=2", "arch.L_cycles=2", "arch.H_cycles=2", TABLE)
#: Every architecture: its file, its keys.
NETWORKS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "trm without a table": ("trm_sudoku", ("arch.L_cycles=2", "arch.puzzle_emb_ndim=0", "arch.puzzle_emb_len=0")),
    "trm_sudoku": ("trm_sudoku", ("arch.L_cycles=2", TABLE)),
    "trm_sudoku_att": ("trm_sudoku_att", SMALL),
    "trm_hier6": ("trm_hier6", SMALL),
    "hrm": ("hrm", (*SMALL, "arch.H_layers=2", "arch.L_layers=1")),
    "transformer": ("transformer_baseline", ("arch.num_heads=2", "arch.H_layers=2", TABLE)),
    "multimodal_hesc": ("multimodal_hesc_mini", HESC),
}
#: torch itself inverts the scale of the loss in float64 (not on mps, which has none).
OF_TORCH = {"float16": {"_to_copy": 2, "reciprocal": 1}}


def counted_updates(
    folder: Path, dataset: Path, arch: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> dict[int, Traffic]:
    """The traffic of the first six updates of a run as on a device, of which 1 and 6 are logged."""
    as_on_a_device(monkeypatch)
    found: dict[int, Traffic] = {}
    original, start, read = Loop._update, AsyncHostCopy.of, AsyncHostCopy.read
    running: dict[int, Traffic] = {}
    started: dict[int, Traffic | None] = {}

    def counting(self: Loop, step: int, arrays: Any) -> None:
        with Traffic() as traffic:
            found[step] = running[0] = traffic
            original(self, step, arrays)
            running.clear()

    def starting(tensor: torch.Tensor) -> AsyncHostCopy:
        copy = start(tensor)
        started[id(copy)] = running.get(0)
        return copy

    def arrived(self: AsyncHostCopy) -> Any:
        if (traffic := running.get(0)) is not None and traffic is started[id(self)]:
            traffic.waits["read at once"] += 1
        with torch._C.DisableTorchFunction():  # a later update has begun, and the device has work beyond the numbers
            return read(self)

    monkeypatch.setattr(Loop, "_update", counting)
    monkeypatch.setattr(AsyncHostCopy, "of", starting)
    monkeypatch.setattr(AsyncHostCopy, "read", arrived)
    run, recorder = prepare(dataset, folder, "log_interval=6", "threads=1", *words, arch=arch)
    with StopRequest() as stop:
        run.train(recorder, stop, stop_at_step=6)
    return found


EVERY = [(name, precision) for name in NETWORKS for precision in ("float32", "float16")]


@pytest.mark.parametrize(
    ("name", "precision"), slow_but(EVERY, *((name, "float32") for name in NETWORKS), ("trm_sudoku", "float16"))
)
def test_an_update_waits_for_nothing_is_one_copy_and_has_no_float64(
    name: str,
    precision: str,
    tmp_path: Path,
    dataset: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if name == "multimodal_hesc":
        dataset = request.getfixturevalue("canvases")
    arch, words = NETWORKS[name]
    words = (*words, f"precision={precision}", "optimizer=" + ("adamw" if precision == "float16" else "adam_atan2"))
    found = counted_updates(tmp_path / "run", dataset, arch, words, monkeypatch)
    for step in (3, 5):
        assert found[step].waits.total() == 0, found[step].waits
    assert found[6].waits.total() <= 1, found[6].waits
    if precision == "float32":  # torch's scaler says non_blocking where nothing is copied
        assert found[5].copies.total() <= 1, found[5].copies
    assert not found[6].doubles - torch_itself(precision), found[6].doubles


def torch_itself(precision: str) -> Any:
    """Operations in float64 that no code of ours asks for."""
    counter = Traffic().doubles
    counter.update(OF_TORCH.get(precision, {}))
    return counter


@pytest.mark.parametrize("name", ["trm_sudoku", "multimodal_hesc"])
def test_an_evaluation_waits_for_its_numbers_alone(
    name: str, tmp_path: Path, dataset: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for a batch of puzzles, twice where there is text; and it says what it says where the rows are asked."""
    if name == "multimodal_hesc":
        dataset = request.getfixturevalue("canvases")
    arch, words = NETWORKS[name]
    run, _ = prepare(dataset, tmp_path / "run", *words, arch=arch)
    assert run.datasets.test is not None
    batches = list(run.datasets.test.eval_batches(8))[:2]
    text = text_labels(run.datasets.test.metadata)
    asked = evaluate(run.state.model, map(dict, batches), torch.device("cpu"), micro_batch_size=5, text=text)
    as_on_a_device(monkeypatch)
    with Traffic() as traffic:
        told = evaluate(run.state.model, map(dict, batches), torch.device("cpu"), micro_batch_size=5, text=text)
    assert replace(told, bits_per_token=None, bits_per_byte=None) == replace(
        asked, bits_per_token=None, bits_per_byte=None
    )
    assert told.bits_per_byte == pytest.approx(asked.bits_per_byte)
    assert traffic.waits.total() == (1 if text is None else 2) * 4, traffic.waits
    assert not traffic.doubles


def test_frozen_weights_cost_no_copy() -> None:
    model = CASES["mlp_t"].model()
    with Traffic() as traffic:
        norms = gradient_norms(gradient_groups(model))
    assert norms.tolist() == [0.0]
    assert traffic.copies.total() == 0, traffic.copies


def test_a_check_that_is_read_at_once_is_noticed(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trm_cli.training.step._has_moments", lambda state: False)
    found = counted_updates(tmp_path / "run", dataset, *NETWORKS["trm_sudoku"], monkeypatch)
    assert found[3].waits["read at once"] == 1


@pytest.mark.parametrize("name", slow_but(["mlp_t", "hrm"], "mlp_t"))
def test_overflows_in_float16_are_skipped_alike_when_read_later(name: str) -> None:
    states = []
    for later in (False, True):
        told: list[str] = []
        state = state_of(CASES[name].model("float16"), scaler=LossScale("cpu", init_scale=16.0, growth_interval=3))
        settings = StepSettings(ROWS, 1.0, read_later=later, on_skip=lambda one, told=told: told.append(one.reason))
        weight = next(iter(state.model.trunk_parameters()))
        for number in range(14):
            hook = weight.register_hook(lambda gradient: gradient * float("inf")) if number in (4, 8, 9) else None
            if number == 6:
                poisoned(state, 1)
            update(state, make_batch(number, ROWS), torch.rand(ROWS, 2, generator=seeded(number)), LEARNING, settings)
            if hook is not None:
                hook.remove()
        settle(state, settings)
        states.append((state.state_dict(), told))
    assert differing(states[0][0], states[1][0]) == []
    assert states[0][1] == states[1][1] and len(states[0][1]) == 4
    assert sum("float16 at scale" in reason for reason in told) == 3


def seeded(seed: int) -> torch.Generator:
    """A generator."""
    return torch.Generator().manual_seed(seed)


def test_every_update_is_counted_whatever_the_interval(tmp_path: Path, dataset: Path) -> None:
    each = train(dataset, tmp_path / "each", "log_interval=1", "nonfinite_limit=9")
    tenth = train(dataset, tmp_path / "tenth", "log_interval=10", "nonfinite_limit=9")
    assert differing(each.state.model.state_dict(), tenth.state.model.state_dict()) == []
    left, right = (records(tmp_path / name, "train") for name in ("each", "tenth"))
    assert len(left) == 30 and [record["step"] for record in right] == [1, 10, 20, 30]
    assert right[2]["loss"] == pytest.approx(np.mean([record["loss"] for record in left[10:20]]), rel=1e-6)


def test_ten_updates_share_a_record_where_reading_one_is_a_wait() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert [loop.log_interval("auto", device) for device in (cpu, cuda)] == [1, 10]
    assert [loop.log_interval(3, device) for device in (cpu, cuda)] == [3, 3]


def test_what_is_packed_is_the_same_whatever_its_types() -> None:
    arrays = {
        "a": np.arange(7, dtype=np.uint8),
        "b": np.arange(6, dtype=np.int32).reshape(2, 3),
        "c": np.array(0.5, dtype=np.float32),
        "d": np.array([[True], [False]]),
    }
    moved = packed(tensors(arrays), torch.device("cpu"))
    for name, array in arrays.items():
        np.testing.assert_array_equal(moved[name].numpy(), array)
        assert moved[name].numpy().dtype == array.dtype
    assert len({value.untyped_storage().data_ptr() for value in moved.values()}) == 1


def test_what_the_host_knows_of_the_rows_is_what_the_rows_say(
    tmp_path: Path, canvases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_on_a_device(monkeypatch)
    original, seen = HescNetwork.forward, []

    def beside(self: HescNetwork, data: Any, carried: Any, puzzle: Any, draw: Any, layout: Any = None) -> Any:
        read = carried.fresh | self.config.pair_cells
        asked = layout_of(data, read, carried.done, self.extent)._replace(packs=False)
        if self.training:
            assert tree_map(as_list, layout) == tree_map(as_list, asked)
            seen.append({group.kind for group in layout.groups} | {group.done for group in layout.groups})
        return original(self, data, carried, puzzle, draw, layout)

    monkeypatch.setattr(HescNetwork, "forward", beside)
    words = (*HESC, "arch.halt_max_steps=4", "arch.text_steps=1", "micro_batch_size=3")
    train(canvases, tmp_path / "run", *words, arch="multimodal_hesc_mini", stop_at_step=3)
    train(canvases, tmp_path / "run", *words, arch="multimodal_hesc_mini", stop_at_step=6)
    assert len(seen) > 10


def as_list(leaf: Any) -> Any:
    """Comparable with ==."""
    return leaf.tolist() if isinstance(leaf, torch.Tensor) else leaf


def test_rows_that_halt_are_told_before_the_backward_pass(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_on_a_device(monkeypatch)
    order: list[str] = []
    start, backward = AsyncHostCopy.of, torch.Tensor.backward

    def starting(tensor: torch.Tensor) -> AsyncHostCopy:
        order.append("flags" if tensor.dtype == torch.bool else "check")
        return start(tensor)

    monkeypatch.setattr(AsyncHostCopy, "of", starting)
    monkeypatch.setattr(torch.Tensor, "backward", lambda self: (order.append("backward"), backward(self)))
    train(dataset, tmp_path / "run", "log_interval=6", stop_at_step=2)
    assert order == ["flags", "backward", "check"] * 2
