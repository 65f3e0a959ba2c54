"""`trm train` beside a builder that is still at work: same batches, and a death that is seen."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.support.commands import Process, trm
from tests.support.held_builder import until
from tests.support.runs import records
from tests.support.selection import slow_but
from tests.support.streams import environment
from trm_cli.data.building.builder_command import builder_command
from trm_cli.data.building.live_build import LiveBuild
from trm_cli.data.files.manifest import read_manifest
from trm_cli.data.puzzles.dataset import BatchOrder
from trm_cli.data.stream.dataset import StreamDataset, open_stream
from trm_cli.data.stream.storage.heartbeat import Beat, read_beats
from trm_cli.data.stream.storage.waiting import WaitCancelled
from trm_cli.errors import DatasetError, ExitCode, UsageError

BOARD = 8


FLAGS = (
    "--output-dir", "data", "--sources", "stories", "kaggle/combined", "--limits", "stories=420", "kaggle/combined=3",
    "--test-share", "0.02", "--text-window", "1024", "--batch-records", "2", "--workers", "1",
)  # fmt: skip


def live_build(folder: Path) -> LiveBuild:
    return LiveBuild(folder / "data", builder_command(str(folder / "builder.py"), FLAGS))


def all_batches(data: StreamDataset) -> list[dict[str, np.ndarray]]:
    order = BatchOrder(16, data.facts.total_groups // 16, "per_epoch")
    return [data.train_batch(step, order, 3) for step in range(1, 2 * order.steps_per_epoch)]


# ---------------------------------------------------------------- in this process


def test_batches_beside_the_builder_are_those_of_the_finished_build(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    notices: list[str] = []
    with live_build(folder) as live:

        def let_go(text: str) -> None:
            notices.append(text)
            (folder / "go").touch()

        live.notice = let_go
        assert live.until_ready()
        growing = open_stream("data", "train", BOARD, live.waiting())
        assert len(growing.store.chunks) == 3 and growing.store.ready == 1
        beside = all_batches(growing)
        live.until_complete()
    assert notices[0].startswith("waiting for stream_checkpoints/consolidated_001.pt: the builder has written")
    finished = open_stream("data", "train", BOARD)
    assert growing.fingerprint == finished.fingerprint
    for left, right in zip(beside, all_batches(finished), strict=True):
        assert all(np.array_equal(left[name], right[name]) for name in right)


@pytest.mark.parametrize("death", slow_but(["fails", "is killed"], "is killed"))
def test_the_death_of_the_builder_ends_the_wait(folder: Path, monkeypatch: pytest.MonkeyPatch, death: str) -> None:
    monkeypatch.chdir(folder)
    with live_build(folder) as live:
        assert live.until_ready() and live.process_id is not None
        data = open_stream("data", "train", BOARD, live.waiting())
        if death == "fails":
            (folder / "fail").touch()
        else:
            os.kill(live.process_id, signal.SIGKILL)
        expected = "No space left on device" if death == "fails" else "killed by signal 9"
        with pytest.raises(DatasetError, match=expected):
            all_batches(data)


def test_a_wait_ends_when_the_run_is_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with live_build(folder) as live:
        assert live.until_ready()
        live.cancelled = lambda: True
        with pytest.raises(WaitCancelled):
            all_batches(open_stream("data", "train", BOARD, live.waiting()))
        assert live.stop() and not live.stop()
    manifest = read_manifest("data")
    assert manifest is not None and manifest.state != "complete"
    assert "stream_checkpoints/consolidated_000.pt" in manifest.files


@pytest.mark.slow
def test_a_build_of_somebody_else_is_joined_and_continued_when_it_dies(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    other = subprocess.Popen([sys.executable, "builder.py", *FLAGS], env=environment(), stderr=subprocess.DEVNULL)
    try:
        until(lambda: any(beat.alive for beat in read_beats("data")))
        with live_build(folder) as live:
            assert live.process_id is None and live.until_ready()
            growing = open_stream("data", "train", BOARD, live.waiting())
            other.kill()
            other.wait()
            (folder / "go").touch()
            beside = all_batches(growing)
            assert live.process_id is not None
            live.until_complete()
    finally:
        other.kill()
    for left, right in zip(beside, all_batches(open_stream("data", "train", BOARD)), strict=True):
        assert all(np.array_equal(left[name], right[name]) for name in right)


def leave_unfinished(folder: Path, started: str, age: float) -> None:
    """A build that was killed, and a heartbeat whose process id is now that of a process of another program: ours."""
    with live_build(folder) as live:
        assert live.until_ready() and live.process_id is not None
        os.kill(live.process_id, signal.SIGKILL)
        until(lambda: not live.running)
    leave_heartbeat(folder / "data", started, age)
    (folder / "go").touch()


def leave_heartbeat(root: Path, started: str = "another boot 1", age: float = 0) -> None:
    beat = Beat(os.getpid(), socket.gethostname(), time.time() - age, 10, 20, "", started)
    (root / "stream_checkpoints").mkdir(parents=True, exist_ok=True)
    (root / "stream_checkpoints/heartbeat.json").write_text(json.dumps(vars(beat)))


@pytest.mark.parametrize(("started", "age"), [("another boot 1", 0), ("", 3600)])
def test_a_dead_builder_whose_id_is_somebody_elses_is_not_taken_for_one(
    tmp_path: Path, started: str, age: float
) -> None:
    leave_heartbeat(tmp_path, started, age)
    live = LiveBuild(tmp_path, ["true"])
    assert live.process_id is not None, "another process is taken for the builder"
    assert live.until_ready() is False


@pytest.mark.slow
@pytest.mark.parametrize(("started", "age"), [("another boot 1", 0), ("", 3600)])
def test_a_build_whose_builder_died_is_completed_though_its_id_is_somebody_elses(
    folder: Path, monkeypatch: pytest.MonkeyPatch, started: str, age: float
) -> None:
    """As after a restart of the machine, or of a container."""
    monkeypatch.chdir(folder)
    leave_unfinished(folder, started, age)
    with live_build(folder) as live:
        live.until_complete()
    manifest = read_manifest("data")
    assert manifest is not None and manifest.state == "complete"
    assert read_beats("data") == []


def test_a_builder_of_another_format_is_waited_for(tmp_path: Path) -> None:
    live = LiveBuild(tmp_path / "data", [sys.executable, "-c", "print('written')"])
    lines: list[str] = []
    live.on_line = lines.append
    assert live.until_ready() is False and lines == ["written"]
    refused = LiveBuild(
        tmp_path / "data", [sys.executable, "-c", "import sys; print('b: error: no', file=sys.stderr); sys.exit(2)"]
    )
    with pytest.raises(UsageError, match="no"):
        refused.until_ready()


@pytest.mark.slow
def test_a_plan_of_old_is_not_taken_for_the_builders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A builder that refuses the directory, because its flags differ, must not see training begin on what is there."""
    monkeypatch.chdir(folder)
    with live_build(folder) as live:
        assert live.until_ready()
    other = [*FLAGS, "--seed", "5"]
    with LiveBuild("data", builder_command("builder.py", other)) as live, pytest.raises(DatasetError, match="seed 0"):
        live.until_ready()


# ---------------------------------------------------------------- the command


def steps_planned(folder: Path) -> int:
    done = trm("inspect-schedule", "held", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    return int(plan.get("plan", plan)["total_steps"])


@pytest.mark.slow
def test_training_beside_a_build_that_dies_is_stopped_and_continued(folder: Path) -> None:
    """Exit 3 with the builder's error after a saved checkpoint; one plan before, during and after; the same run."""
    before = steps_planned(folder)
    (folder / "fail").touch()
    died = trm("train", "held", cwd=folder)
    assert died.returncode == ExitCode.DATASET, died.stderr
    assert "the first chunk is there" in died.stderr and "No space left on device" in died.stderr
    assert "larger than 8x8 cells are left out" in died.stderr and "Traceback" not in died.stderr
    reached = records(folder / "run", "train")[-1]["step"]
    assert (folder / "run" / f"step_{reached:08d}.pt").exists() and 0 < reached < before
    assert steps_planned(folder) == before
    dry = trm("train", "held", "--dry-run", cwd=folder)
    assert dry.returncode == 0 and f"{before} updates" in dry.stdout
    (folder / "go").touch()
    resumed = trm("resume", "run", cwd=folder)
    assert resumed.returncode == 0, resumed.stderr
    assert f"after step {reached}" in resumed.stderr and f"done: {before} steps" in resumed.stdout
    manifest = read_manifest(folder / "data")
    assert manifest is not None and manifest.state == "complete"
    assert steps_planned(folder) == before
    whole = trm("train", "held", "checkpoint_path=whole", cwd=folder)
    assert whole.returncode == 0, whole.stderr
    assert (folder / "run/metrics.jsonl").read_bytes() == (folder / "whole/metrics.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 75, marks=pytest.mark.slow)]
)
def test_a_signal_while_training_waits_saves_and_stops_the_builder(folder: Path, number: int, code: int) -> None:
    process = Process("-m", "trm_cli", "train", "held", cwd=folder)
    timings = folder / "run" / "timings.jsonl"
    until(lambda: timings.exists() and timings.read_text().count("\n") >= 10)
    (builder,) = (beat.pid for beat in read_beats(folder / "data"))
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "stopped the builder of data" in errors and "Traceback" not in errors
    assert not Path(f"/proc/{builder}").exists()
    assert list((folder / "run").glob("step_*.pt"))


@pytest.mark.slow
def test_trainer_and_builder_are_killed_and_both_go_on_though_the_builders_id_is_somebody_elses(folder: Path) -> None:
    with Process("-m", "trm_cli", "train", "held", cwd=folder) as process:
        until(lambda: (folder / "run/metrics.jsonl").exists() and records(folder / "run", "train"))
        (builder,) = (beat.pid for beat in read_beats(folder / "data"))
        process.kill()
        process.wait(60)
        os.kill(builder, signal.SIGKILL)
    leave_heartbeat(folder / "data")
    (folder / "go").touch()
    with Process("-m", "trm_cli", "train", "held", cwd=folder) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    manifest = read_manifest(folder / "data")
    assert manifest is not None and manifest.state == "complete"


@pytest.mark.slow
def test_no_incremental_builds_first(folder: Path) -> None:
    (folder / "go").touch()
    done = trm("train", "held", "--no-incremental", "--stop-at-step", "1", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "the first chunk is there" not in done.stderr
    assert done.stderr.index("data: complete") < done.stderr.index("quantity")


@pytest.mark.slow
def test_dataset_only_builds_in_the_foreground(folder: Path) -> None:
    (folder / "go").touch()
    done = trm("train", "held", "--dataset-only", cwd=folder)
    assert done.returncode == 0 and "data: complete" in done.stderr and not (folder / "run").exists()


@pytest.mark.slow
def test_an_early_end_stops_the_builder_and_a_whole_run_lets_it_finish(folder: Path) -> None:
    early = trm("train", "held", "--stop-at-step", "1", cwd=folder)
    assert early.returncode == 0 and "stopped the builder of data" in early.stderr, early.stderr
    for name in ("go", "hold the seal"):
        (folder / name).touch()
    process = Process("-m", "trm_cli", "resume", "run", cwd=folder)
    until(lambda: records(folder / "run", "eval"))
    (folder / "hold the seal").unlink()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "the builder of data finishes its work" in errors
    manifest = read_manifest(folder / "data")
    assert manifest is not None and manifest.state == "complete"


@pytest.mark.slow
def test_a_dry_run_of_the_full_model_plans_its_dataset_and_writes_nothing(tmp_path: Path) -> None:
    done = trm("train", "vision-unified", "--dry-run", "--device", "cpu", cwd=tmp_path, HF_HOME=str(tmp_path / "hf"))
    assert done.returncode == 0, done.stderr
    assert "not built yet; planned by" in done.stdout
    assert not (tmp_path / "datasets").exists()


@pytest.mark.parametrize("model", slow_but(["vision-unified", "unified-mini", "trm-unified"], "trm-unified"))
def test_every_kind_has_its_share_of_a_mix(model: str, tmp_path: Path) -> None:
    done = trm("build-dataset", model, "--plan", "--json", cwd=tmp_path, HF_HOME=str(tmp_path / "hf"))
    assert done.returncode == 0, done.stderr
    kinds = json.loads(done.stdout)["plan"]["kinds"]["train"]
    total = sum(counts["records"] for counts in kinds.values())
    shares = {name: counts["records"] / total for name, counts in kinds.items()}
    assert 0.3 < shares["grid"] < 0.5 and 0.3 < shares["text"] < 0.5 and shares["picture"] > 0.15
