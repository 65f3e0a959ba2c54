"""A log that is torn, damaged, deleted or replaced: it is said, nothing readable is lost, and the run goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.commands import trm_here
from tests.support.runs import Recorder, prepare, train
from trm_cli.training.recording.metrics_log import read_records
from trm_cli.training.signals import StopRequest

EVERY = "log_interval=1"


def carry_out(data: Path, path: Path, act: Callable[[], object], *, at: int = 7, to: int = 15) -> list[str]:
    """Train to step `to`, with `act` after step `at`; returns what was said."""
    run, recorder = prepare(data, path, EVERY)

    def stepped(step: int, *_: object) -> None:
        if step == at:
            act()

    recorder.stepped = stepped  # type: ignore[method-assign]
    with StopRequest() as stop:
        run.train(recorder, stop, stop_at_step=to)
    return recorder.notes


def resumed(data: Path, path: Path, *, to: int = 20) -> list[str]:
    run, recorder = prepare(data, path, EVERY)
    with StopRequest() as stop:
        run.train(recorder, stop, stop_at_step=to)
    return recorder.notes


def steps(path: Path) -> list[int]:
    return [record["step"] for record in read_records(path / "metrics.jsonl") if record["kind"] == "train"]


def test_deleted_under_a_run_it_is_written_again(tmp_path: Path, dataset: Path) -> None:
    path = tmp_path / "run/metrics.jsonl"
    notes = carry_out(dataset, tmp_path / "run", path.unlink)
    assert notes == [f"{path} was deleted meanwhile: written again"]
    assert steps(tmp_path / "run") == list(range(1, 16))
    train(dataset, tmp_path / "whole", EVERY, stop_at_step=15)
    assert path.read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()


def test_replaced_under_a_run_both_are_kept(tmp_path: Path, dataset: Path) -> None:
    path = tmp_path / "run/metrics.jsonl"

    def replace() -> None:
        (tmp_path / "mine").write_text("mine\n")
        (tmp_path / "mine").replace(path)

    notes = carry_out(dataset, tmp_path / "run", replace)
    assert "was replaced meanwhile: written again; what lies in its place is kept in metrics.damaged.jsonl" in notes[0]
    assert steps(tmp_path / "run") == list(range(1, 16))
    assert (tmp_path / "run/metrics.damaged.jsonl").read_text() == "mine\n"


def test_cut_under_a_run_the_rest_is_whole(tmp_path: Path, dataset: Path) -> None:
    path = tmp_path / "run/metrics.jsonl"
    cut: list[int] = []

    def halve() -> None:
        cut.append(path.stat().st_size)
        os.truncate(path, cut[0] // 2)

    notes = carry_out(dataset, tmp_path / "run", halve)
    assert [f"{path} was changed meanwhile" in note for note in notes] == [True]
    # One record is torn; those that come after the next save are whole.
    assert set(range(11, 16)) <= set(steps(tmp_path / "run"))
    notes = resumed(dataset, tmp_path / "run")
    assert [note for note in notes if "damaged line" in note]
    assert (tmp_path / "run/metrics.damaged.jsonl").exists()
    assert steps(tmp_path / "run")[-5:] == list(range(16, 21))


def test_deleted_between_two_parts_of_a_run_it_is_said(tmp_path: Path, dataset: Path) -> None:
    train(dataset, tmp_path / "run", EVERY, stop_at_step=10)
    path = tmp_path / "run/metrics.jsonl"
    path.unlink()
    words = (f"data_paths=[{dataset}]", "--stop-at-step", "15")
    done = trm_here("resume", str(tmp_path / "run"), *words, cwd=tmp_path)
    told = " ".join(done.stderr.split())
    assert done.returncode == 0, told
    assert "metrics.jsonl is missing or empty: records up to step 10 are lost" in told
    assert steps(tmp_path / "run") == list(range(11, 16))


@pytest.mark.parametrize("damage", ["torn", "cut", "garbage in the middle", "garbage at the end"])
def test_what_a_run_finds_damaged_it_says_and_keeps(tmp_path: Path, dataset: Path, damage: str) -> None:
    train(dataset, tmp_path / "run", EVERY, stop_at_step=10)
    path = tmp_path / "run/metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)  # steps 1 to 10, and an evaluation
    train_lines = [number for number, line in enumerate(lines) if b'"train"' in line]
    kept: bytes = b""
    if damage == "torn":
        kept = lines[train_lines[9]][:40]
        path.write_bytes(b"".join(lines[: train_lines[9]]) + kept)
    elif damage == "cut":
        path.write_bytes(b"".join(lines[: train_lines[7]]))
    else:
        place = 3 if damage == "garbage in the middle" else 9
        kept = b'{"kind": "train", "step": garbage\n'
        lines[train_lines[place]] = kept
        path.write_bytes(b"".join(lines[: train_lines[9] + 1]))
    notes = resumed(dataset, tmp_path / "run", to=12)
    last = {"torn": 9, "cut": 7, "garbage in the middle": 10, "garbage at the end": 9}[damage]
    lost = [f"{path} ends at step {last}: records up to step 10 are lost; the state of the run is not affected"]
    moved = [f"{path} had 1 damaged line: moved to metrics.damaged.jsonl"]
    assert notes == (moved if kept else []) + (lost if last < 10 else [])
    beside = tmp_path / "run/metrics.damaged.jsonl"
    assert (beside.read_bytes() if beside.exists() else b"") == kept + (b"" if kept[-1:] in (b"", b"\n") else b"\n")
    assert [step for step in range(1, 13) if step not in steps(tmp_path / "run")] == {
        "torn": [10], "cut": [8, 9, 10], "garbage in the middle": [4], "garbage at the end": [10],
    }[damage]  # fmt: skip


def test_a_line_that_a_kill_has_torn_is_no_news(tmp_path: Path, dataset: Path) -> None:
    whole = train(dataset, tmp_path / "whole", EVERY, stop_at_step=20)
    train(dataset, tmp_path / "run", EVERY, stop_at_step=10)
    with (tmp_path / "run/metrics.jsonl").open("ab") as file:
        file.write(b'{"kind": "train", "st')
    assert resumed(dataset, tmp_path / "run") == []
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()
    assert whole.state.step == 20


def test_a_run_that_begins_with_the_state_of_another_misses_nothing(tmp_path: Path, dataset: Path) -> None:
    train(dataset, tmp_path / "first", EVERY, stop_at_step=10)
    load = f"load_checkpoint={tmp_path / 'first/latest.pt'}"
    run, recorder = prepare(dataset, tmp_path / "second", EVERY, load)
    with StopRequest() as stop:
        run.train(recorder, stop, stop_at_step=15)
    assert recorder.notes == []
    assert isinstance(recorder, Recorder)
    assert steps(tmp_path / "second") == list(range(11, 16))
    assert resumed(dataset, tmp_path / "second") == []
