"""How a run begins: on the data that it finds, and with a word on what is missing or damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.boards import write_boards
from tests.support.runs import prepare, train
from trm_cli.errors import CheckpointError
from trm_cli.training import loop
from trm_cli.training.run_files import read_identity
from trm_cli.training.signals import StopRequest


def test_a_run_that_ended_without_a_checkpoint_begins_on_the_data_that_it_finds(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*arguments: object) -> None:
        raise RuntimeError("out of memory")

    run, recorder = prepare(dataset, tmp_path / "run")
    with monkeypatch.context() as patched, StopRequest() as stop, pytest.raises(RuntimeError, match="out of memory"):
        patched.setattr(loop, "update", out_of_memory)
        run.train(recorder, stop)
    name = read_identity(run.directory.path)["run"]
    rebuilt = write_boards(tmp_path / "rebuilt", train=48)
    train(rebuilt, tmp_path / "run", stop_at_step=6)
    again, _ = prepare(rebuilt, tmp_path / "run")
    assert (again.state.step, read_identity(again.directory.path)["run"]) == (6, name)
    with pytest.raises(CheckpointError, match="another dataset"):
        prepare(dataset, tmp_path / "run")


def test_damaged_lines_of_the_metrics_are_told_and_the_good_ones_stay(tmp_path: Path, dataset: Path) -> None:
    train(dataset, tmp_path / "run", stop_at_step=12)
    path = tmp_path / "run/metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:3], "damaged\n", *lines[4:]]))
    run, recorder = prepare(dataset, tmp_path / "run")
    with StopRequest() as stop:
        run.train(recorder, stop, stop_at_step=13)
    kept = path.read_text().splitlines(keepends=True)
    assert kept[: len(lines) - 1] == [*lines[:3], *lines[4:]]
    assert len(kept) == len(lines)
    assert (tmp_path / "run/metrics.damaged.jsonl").read_text() == "damaged\n"
    assert recorder.notes == [f"{path} had 1 damaged line: moved to metrics.damaged.jsonl"]


def test_a_run_without_its_carry_says_what_that_costs(tmp_path: Path, dataset: Path) -> None:
    train(dataset, tmp_path / "run", "save_carry=false", stop_at_step=7)
    _, recorder = prepare(dataset, tmp_path / "run", "save_carry=false")
    (note,) = recorder.notes
    assert "step_00000007.pt" in note and "save_carry=false" in note and "not bit-identically" in note
    train(dataset, tmp_path / "whole", stop_at_step=7)
    assert prepare(dataset, tmp_path / "whole")[1].notes == []
