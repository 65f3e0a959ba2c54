"""No program that a model file names starts unseen, and none from elsewhere without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import trm_here

PLAN = '{"train": {"total_groups": 100, "mean_puzzle_examples": 1.0, "total_puzzles": 100}}'
COMMANDS = [["inspect-schedule"], ["train", "--dry-run"], ["train"], ["build-dataset"], ["build-dataset", "--plan"]]


def _model(folder: Path, builder: str) -> Path:
    path = folder / "model.yaml"
    path.write_text(
        "config: cfg_pretrain\narchitecture: trm_quickstart\n"
        f"dataset_builder: {builder}\ndataset_args:\n  output_dir: data\ncheckpoint_path: run\n"
    )
    return path


def _program(path: Path, mark: Path) -> Path:
    """A builder that leaves a mark, and plans."""
    path.write_text(
        f"#!/bin/sh\ntouch {mark}\necho '{PLAN}'\nexit 3\n".replace("exit 3", "case $* in *--plan) ;; *) exit 3; esac")
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setenv("TRM_ALLOW_BUILDER", "")
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    return here, elsewhere


@pytest.mark.parametrize("words", COMMANDS)
def test_a_program_from_elsewhere_is_not_started(words: list[str], folders: tuple[Path, Path]) -> None:
    here, elsewhere = folders
    mark = elsewhere / "mark"
    model = _model(here, str(_program(elsewhere / "builder", mark)))
    done = trm_here(*words, str(model), cwd=here)
    assert not mark.exists()
    assert done.returncode == 2, done.stderr
    assert f"Command: {elsewhere}/builder --output-dir data" in done.stderr
    assert "--allow-builder" in done.stderr
    allowed = trm_here(*words, str(model), "--allow-builder", cwd=here)
    assert mark.exists()
    assert f"Command: {elsewhere}/builder --output-dir data" in allowed.stderr


def test_a_program_of_the_system_and_a_link_out_of_here_are_from_elsewhere(folders: tuple[Path, Path]) -> None:
    here, elsewhere = folders
    mark = elsewhere / "mark"
    (here / "link").symlink_to(_program(elsewhere / "builder", mark))
    for builder in ("touch", "./link", "this"):
        done = trm_here("inspect-schedule", str(_model(here, builder)), cwd=here)
        assert done.returncode == 2, done.stderr
        assert "lies outside" in done.stderr
    assert not mark.exists()


def test_ours_and_those_of_the_working_directory_start_once_they_are_printed(folders: tuple[Path, Path]) -> None:
    here, _ = folders
    mark = here / "mark"
    _program(here / "builder", mark)
    done = trm_here("inspect-schedule", str(_model(here, "./builder")), cwd=here)
    assert done.returncode == 0, done.stderr
    assert mark.exists()
    assert "builder --output-dir data --plan" in done.stderr
    done = trm_here("inspect-schedule", "sudoku-4x4", cwd=here)
    assert done.returncode == 0, done.stderr
    assert ".sudoku --output-dir datasets/sudoku-4x4" in done.stderr


def test_runs_that_a_command_starts_inherit_the_permission(folders: tuple[Path, Path]) -> None:
    here, elsewhere = folders
    mark = elsewhere / "mark"
    model = _model(here, str(_program(elsewhere / "builder", mark)))
    (here / "sweep.yaml").write_text(f"model: {model}\ncheckpoint_path: trials\nsearch:\n  lr: [0.001]\n")
    for words in (["train", str(model), "--seeds", "1"], ["sweep", "sweep.yaml"], ["sweep", "sweep.yaml", "--dry-run"]):
        refused = trm_here(*words, cwd=here)
        assert refused.returncode == 2, refused.stderr
        assert not mark.exists()
        allowed = trm_here(*words, "--allow-builder", cwd=here)
        assert mark.exists(), allowed.stderr
        assert "it was not started" not in allowed.stderr
        mark.unlink()
