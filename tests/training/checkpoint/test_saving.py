"""Saving on request, on a full disk, and at the end: a run never dies of a save, and never claims one that failed."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.file_systems import full_above
from tests.support.runs import Recorder, differing, prepare, records, train
from trm_cli.errors import CheckpointError, TrmError
from trm_cli.training.checkpoint import disk_space
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint
from trm_cli.training.checkpoint.retention import delete_oldest_spare
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.recording.metrics_log import JsonLines
from trm_cli.training.run.datasets import TrainBatches
from trm_cli.training.run.run import Run
from trm_cli.training.run_files import read_identity
from trm_cli.training.signals import StopRequest

ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """Within the block the system refuses to make a file longer than `size` bytes (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Acting(Recorder):
    """Does something at certain steps."""

    def __init__(self, **at: object) -> None:
        super().__init__()
        self.actions = at

    def stepped(self, step: int, record: object, samples_per_second: object) -> None:
        super().stepped(step, None, None)
        if action := self.actions.get(f"step_{step}"):
            action()  # type: ignore[operator]


def carry_out(run: Run, recorder: Recorder) -> StopRequest:
    with StopRequest() as stop:
        run.train(recorder, stop)
    return stop


def test_a_disk_that_refuses_the_file_costs_nothing_but_the_file(tmp_path: Path, dataset: Path) -> None:
    whole = train(dataset, tmp_path / "whole")
    run, _ = prepare(dataset, tmp_path / "run")
    limit = files_up_to(20_000)
    recorder = Acting(step_10=limit.__enter__, step_13=lambda: limit.__exit__(None, None, None))
    carry_out(run, recorder)
    assert recorder.saved_steps[:3] == [5, 13, 15]
    assert [note for note in recorder.notes if "File too large" in note and "step 10" in note]
    assert [note for note in recorder.notes if "saved step 13 after 3 failed attempts" in note]
    assert recorder.notes[2:] == ["best.pt is step 13: the best step, 10, could not be saved"]
    assert differing(whole.state.state_dict(), run.state.state_dict()) == []
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "run/metrics.jsonl").read_bytes()


def fill_the_disk_at_step_10(monkeypatch: pytest.MonkeyPatch) -> None:
    """5 kB are free at the save of step 10; enough before the run, after step 1, at step 5 and ever after."""
    free = iter([10**9, 10**9, 10**9, 5000])
    monkeypatch.setattr(disk_space, "free_bytes", lambda directory: next(free, 10**9))


def test_a_full_disk_is_seen_before_it_is_written_to(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = prepare(dataset, tmp_path / "run")
    fill_the_disk_at_step_10(monkeypatch)
    recorder = Recorder()
    carry_out(run, recorder)
    assert recorder.saved_steps[:2] == [5, 11]
    assert "could not save step 10 (not enough disk space: needs" in recorder.notes[0]
    assert "5.0 kB free" in recorder.notes[0]


def test_on_a_full_disk_older_spare_checkpoints_give_way_oldest_first(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(dataset, tmp_path / "whole", "keep_checkpoints=9", "eval_interval=6")
    size = CheckpointStore(tmp_path / "whole").path(20).stat().st_size
    run, recorder = prepare(dataset, tmp_path / "run", "keep_checkpoints=9", "eval_interval=6")
    # Room for three and the estimate of a fourth, which is above its size.
    estimate = disk_space.checkpoint_bytes(whole.state.state_dict())
    full_above(monkeypatch, tmp_path / "run", 2 * size + estimate + size // 2)
    carry_out(run, recorder)
    assert recorder.saved_steps == [5, 10, 15, 20, 25, 30]
    assert [note for note in recorder.notes if "disk full" in note] == [
        f"disk full: deleted the checkpoint of step {old} to make room for step {new}"
        for old, new in ((5, 20), (10, 25), (15, 30))
    ]
    assert CheckpointStore(tmp_path / "run").steps() == [20, 25, 30]
    assert differing(whole.state.state_dict(), run.state.state_dict()) == []


def test_what_must_stay_does_not_give_way(tmp_path: Path, dataset: Path) -> None:
    train(dataset, tmp_path / "run", "keep_checkpoints=9", "eval_interval=6", stop_at_step=25)
    run = read_identity(tmp_path / "run")["run"]
    store = CheckpointStore(tmp_path / "run", run=run, milestones={10})
    store.point_best(5)
    store.path(25).write_bytes(b"damaged")  # so 20 is the newest valid one
    assert delete_oldest_spare(store, ()) == 15
    assert delete_oldest_spare(store, ()) is None
    assert store.steps() == [5, 10, 20, 25]
    other = CheckpointStore(tmp_path / "run", run="another")
    assert delete_oldest_spare(other, ()) is None
    assert store.steps() == [5, 10, 20, 25]


def test_a_best_step_that_is_not_written_leaves_its_name_to_the_next(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = prepare(dataset, tmp_path / "run")
    fill_the_disk_at_step_10(monkeypatch)
    recorder = Recorder()
    with StopRequest() as stop:
        run.train(recorder, stop, stop_at_step=15)
    assert run.state.best_step == 10
    assert CheckpointStore(tmp_path / "run").best_step() == 11
    assert recorder.notes[-1] == "best.pt is step 11: the best step, 10, could not be saved"


def test_the_estimate_is_just_above_the_size(tmp_path: Path, dataset: Path) -> None:
    run = train(dataset, tmp_path / "run", "arch.hidden_size=64")
    size = (tmp_path / "run/latest.pt").stat().st_size
    assert size <= disk_space.checkpoint_bytes(run.state.state_dict()) <= size + (1 << 17)


def test_a_run_whose_checkpoint_will_not_fit_does_not_begin(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, recorder = prepare(dataset, tmp_path / "run")
    monkeypatch.setattr(disk_space, "free_bytes", lambda directory: 5000)
    with pytest.raises(CheckpointError, match=r"needs at least .* kB, 5.0 kB free"):
        carry_out(run, recorder)
    assert recorder.steps == []
    assert not (tmp_path / "run/config.yaml").exists()


def test_a_disk_that_will_fill_up_is_named_at_the_start(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, recorder = prepare(dataset, tmp_path / "run")
    monkeypatch.setattr(disk_space, "free_bytes", lambda directory: 2_000_000)
    carry_out(run, recorder)
    assert "the run keeps up to 5 at once" in recorder.notes[0]


def test_a_run_whose_last_checkpoint_is_not_written_says_so(tmp_path: Path, dataset: Path) -> None:
    run, _ = prepare(dataset, tmp_path / "run")
    recorder = Acting(step_28=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY)))
    try:
        with pytest.raises(TrmError, match="could not save the last checkpoint, of step 30") as caught:
            carry_out(run, recorder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert "continues after step 25" in str(caught.value.hint)
    assert CheckpointStore(tmp_path / "run").steps()[-1] == 25


def test_lines_that_the_disk_does_not_take_come_later_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = JsonLines(path)
    with files_up_to(100):
        for step in range(1, 9):
            lines.write({"kind": "train", "step": step})
        with pytest.raises(OSError, match="File too large"):
            lines.sync()
    assert path.stat().st_size == 100
    lines.write({"kind": "train", "step": 9})
    lines.close()
    assert [record["step"] for record in records(tmp_path, "train")] == list(range(1, 10))


def test_no_checkpoint_is_newer_than_the_metrics_that_belong_to_it(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # After a power loss a resumed run would lack lines that nothing writes again.
    events: list[str] = []

    def noted(owner: type, method: str, event: str) -> None:
        original = getattr(owner, method)

        def act(self: Any, *arguments: Any, **options: Any) -> Any:
            if not isinstance(self, JsonLines) or self.path.name == "metrics.jsonl":
                events.append(event)
            return original(self, *arguments, **options)

        monkeypatch.setattr(owner, method, act)

    noted(JsonLines, "write", "written")
    noted(JsonLines, "sync", "synced")
    noted(CheckpointStore, "_commit", "committed")
    train(dataset, tmp_path / "run", stop_at_step=10)
    assert events.count("committed") == 2
    assert all(before == "synced" for before, event in pairwise(events) if event == "committed"), events


def test_sigusr1_saves_and_the_run_goes_on(tmp_path: Path, dataset: Path) -> None:
    run, _ = prepare(dataset, tmp_path / "run")
    recorder = Acting(step_7=lambda: os.kill(os.getpid(), signal.SIGUSR1))
    stop = carry_out(run, recorder)
    assert stop.exit_code is None
    assert recorder.saved_steps[:3] == [5, 7, 10]
    assert run.state.step == 30


def test_sigusr1_during_an_evaluation_saves_at_once_and_the_evaluation_begins_again(
    tmp_path: Path, dataset: Path
) -> None:
    whole = train(dataset, tmp_path / "whole")
    run, recorder = prepare(dataset, tmp_path / "run")
    states = []

    def evaluating(rows: int) -> None:
        if not states:
            os.kill(os.getpid(), signal.SIGUSR1)
            states.append(rows)

    def saved(step: int, path: Path, seconds: float) -> None:
        recorder.saved_steps.append(step)
        if recorder.saved_steps == [5, 10]:
            states.append(load_checkpoint(path)[0])

    recorder.evaluating, recorder.saved = evaluating, saved  # type: ignore[method-assign]
    carry_out(run, recorder)
    assert recorder.saved_steps[:3] == [5, 10, 10]  # in the middle of the evaluation, and with its result
    assert states[1]["evaluated_step"] == 0
    train(dataset, tmp_path / "other", stop_at_step=10)
    ordinary = load_checkpoint(CheckpointStore(tmp_path / "other").path(10))[0]
    assert differing(ordinary["model"], states[1]["model"]) == []  # the raw weights, not those that are evaluated
    assert differing(whole.state.state_dict(), run.state.state_dict()) == []
    assert CheckpointStore(tmp_path / "run").best_step() == CheckpointStore(tmp_path / "whole").best_step()


def test_sigusr1_in_every_evaluation_does_not_keep_the_run_from_going_on(tmp_path: Path, dataset: Path) -> None:
    run, recorder = prepare(dataset, tmp_path / "run")
    asked: list[int] = []

    def evaluating(rows: int) -> None:
        asked.append(rows)
        assert len(asked) < 20, "the same evaluation began again and again"
        os.kill(os.getpid(), signal.SIGUSR1)

    recorder.evaluating = evaluating  # type: ignore[method-assign]
    carry_out(run, recorder)
    assert [step for step, _ in recorder.evaluations] == [10, 20, 30]


def test_an_evaluation_that_a_resumed_run_completes_is_saved(tmp_path: Path, dataset: Path) -> None:
    run, recorder = prepare(dataset, tmp_path / "run")
    with StopRequest() as stop:
        recorder.evaluating = lambda rows: stop._receive(15, None)  # type: ignore[method-assign]
        run.train(recorder, stop)
    store = CheckpointStore(tmp_path / "run")
    assert (store.best_step(), store.load(10)[0]["evaluated_step"]) == (None, 0)
    train(dataset, tmp_path / "run", stop_at_step=10)
    assert (store.best_step(), store.load(10)[0]["evaluated_step"]) == (10, 10)


def test_sigusr1_is_noticed_while_the_run_waits_for_data(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, recorder = prepare(dataset, tmp_path / "run")
    store, original, seen = CheckpointStore(tmp_path / "run"), TrainBatches.train_batch, []

    def slow(self: TrainBatches, step: int) -> dict:
        if step == 9:
            while recorder.steps[-1:] != [8]:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGUSR1)
            patience = time.monotonic() + 30
            while 8 not in store.steps() and time.monotonic() < patience:
                time.sleep(0.01)
            seen.extend(store.steps())
        return original(self, step)

    monkeypatch.setattr(TrainBatches, "train_batch", slow)
    carry_out(run, recorder)
    assert seen == [5, 8]
    assert run.state.step == 30


SECOND_SIGINT = """
import os, signal
from trm_cli.training.signals import StopRequest

with StopRequest() as stop:
    for number in ({numbers}):
        os.kill(os.getpid(), number)
        print("asked", int(stop.exit_code), flush=True)
    print("goes on to save", flush=True)
"""


@pytest.mark.parametrize(
    ("numbers", "output"),
    [
        ("signal.SIGINT, signal.SIGINT", ["asked 130"]),
        ("signal.SIGTERM, signal.SIGINT", ["asked 75", "asked 130", "goes on to save"]),
        ("signal.SIGINT, signal.SIGTERM, signal.SIGINT", ["asked 130", "asked 75"]),
    ],
)
def test_a_second_ctrl_c_leaves_at_once(numbers: str, output: list[str]) -> None:
    code = SECOND_SIGINT.format(numbers=numbers)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == output
    assert done.returncode == (0 if output[-1] == "goes on to save" else 130)
