"""--fresh gives up a run and nothing else: the directory may hold more than the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.runs import train
from trm_cli.data.files.durable import LOCK_NAME, held_directory
from trm_cli.errors import CheckpointError
from trm_cli.training.run.reset_run import clear_run


def test_it_deletes_the_files_of_the_run_and_keeps_the_others(tmp_path: Path, dataset: Path) -> None:
    run = tmp_path / "run"
    (run / "notes").mkdir(parents=True)
    (run / "notes" / "mine.txt").write_text("precious")
    (run / "step_of_mine.pt").write_text("precious")
    train(dataset, run, stop_at_step=10)
    for name in ("step-10-test-0123abcd/result.json", "step-9-test-0123abcd/result.json", "mine/notes.txt"):
        (run / "evaluations" / name).parent.mkdir(parents=True)
        (run / "evaluations" / name).write_text("{}")
    assert clear_run(run) > 7
    assert sorted(path.name for path in run.iterdir()) == [LOCK_NAME, "evaluations", "notes", "step_of_mine.pt"]
    assert [path.name for path in (run / "evaluations").rglob("*")] == ["mine", "notes.txt"]
    assert (run / "notes" / "mine.txt").read_text() == "precious"
    assert train(dataset, run, stop_at_step=1).start.file is None


def test_a_directory_without_a_run_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    assert clear_run(tmp_path) == 0
    assert clear_run(tmp_path / "absent") == 0
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_run_that_is_being_trained_is_not_deleted(tmp_path: Path, dataset: Path) -> None:
    train(dataset, tmp_path / "run", stop_at_step=1)
    with held_directory(tmp_path / "run"), pytest.raises(CheckpointError, match="being trained by another process"):
        clear_run(tmp_path / "run")
    assert (tmp_path / "run/latest.pt").exists()
