"""On macOS, as far as it can be had elsewhere: its system calls fail, are missing, or are there, as they are there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataset_builders import sudoku, text
from tests.support.commands import trm_here
from tests.support.file_systems import as_on_macos
from tests.support.runs import records, train
from trm_cli.data.building.builder_cli import usable_cpus
from trm_cli.data.files.durable import held_directory
from trm_cli.errors import CheckpointError
from trm_cli.training.hardware.devices import available_cores
from trm_cli.training.hardware.resources import free_host_memory
from trm_cli.training.run.reset_run import clear_run


@pytest.mark.parametrize("network_drive", [False, True])
def test_datasets_are_built_and_a_run_goes_on_as_elsewhere(
    network_drive: bool, tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(dataset, tmp_path / "linux", stop_at_step=6)
    flushed = as_on_macos(monkeypatch, network_drive=network_drive)
    (tmp_path / "notes.json").write_text(json.dumps([f"The text of note {number}." for number in range(50)]))
    few = ["--workers", "1", "--output-dir"]
    assert (
        text.main(["--source", str(tmp_path / "notes.json"), "--test-share", "0.2", *few, str(tmp_path / "text")]) == 0
    )
    flags = ["--box", "2", "2", "--train", "4", "--test", "2", "--num-aug", "0"]
    assert sudoku.main([*flags, *few, str(tmp_path / "boards")]) == 0
    for stop in (3, 6):
        train(dataset, tmp_path / "mac", stop_at_step=stop)
    assert records(tmp_path / "mac", "train") == records(tmp_path / "linux", "train")
    assert bool(flushed) is not network_drive
    for words in (
        ["checkpoints", "verify", "mac"],
        ["inspect-dataset", "text", "--verify"],
        ["inspect-schedule", "mac"],
    ):
        done = trm_here(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_a_second_process_is_kept_away(tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_on_macos(monkeypatch)
    train(dataset, tmp_path / "run", stop_at_step=1)
    with held_directory(tmp_path / "run"), pytest.raises(CheckpointError, match="being trained by another process"):
        clear_run(tmp_path / "run")


def test_the_machine_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    as_on_macos(monkeypatch)
    assert available_cores() == usable_cpus() >= 1
    free = free_host_memory()
    assert free is None or free > 1 << 28
