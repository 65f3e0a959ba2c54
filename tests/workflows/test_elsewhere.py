"""A run goes on somewhere else: another working directory, another umask, data that has moved, no network."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support import commands
from tests.support.boards import write_boards
from tests.support.runs import TINY_RUN, differing
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint

#: What a fixture of this module trains is trained once: one worker does all of it.

ROOT = Path(__file__).resolve().parents[2]


def trm(*words: str, cwd: Path, umask: int = -1, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    known = {**inherited, "PYTHONPATH": str(ROOT), **environment}
    return commands.trm(*words, cwd=cwd, umask=umask, env=known)


def start(folder: Path, run: str, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    words = ["train", "sudoku-4x4", "data_paths=[data]", f"checkpoint_path={run}", *TINY_RUN, *more]
    return trm(*words, cwd=folder, umask=0o022, **environment)


def state(run: Path) -> dict:
    return load_checkpoint((run / "latest.pt").resolve())[0]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, an uninterrupted run, and one that was stopped after step 12."""
    folder = tmp_path_factory.mktemp("home")
    write_boards(folder / "data")
    assert start(folder, "whole").returncode == 0
    assert start(folder, "part", "--stop-at-step", "12").returncode == 0
    return folder


def test_another_working_directory_and_another_umask(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "moved", symlinks=True)  # the tree as a whole, then seen from elsewhere
    run = tmp_path / "moved/part"
    old = run / "step_00000010.pt"
    done = trm("resume", str(run), cwd=tmp_path, umask=0o077)
    assert done.returncode == 0, done.stderr
    assert f"data_paths: {tmp_path / 'moved/data'}, as seen from where the run was started" in done.stderr
    assert differing(state(home / "whole"), state(run)) == []
    assert (home / "whole/metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (run / "latest.pt", run / "run.json")}
    assert modes == {"latest.pt": 0o600, "run.json": 0o644}  # whoever writes a file decides who reads it
    assert not old.exists() or stat.S_IMODE(old.stat().st_mode) == 0o644


def test_the_data_has_moved(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "part", tmp_path / "part", symlinks=True)
    shutil.copytree(home / "data", tmp_path / "else where/data, new")
    lost = trm("resume", "part", "model=sudoku-4x4", cwd=tmp_path)
    assert lost.returncode == 3
    assert "Traceback" not in lost.stderr
    place = json.dumps([str(tmp_path / "else where/data, new")])
    done = trm("resume", "part", f"data_paths={place}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert differing(state(home / "whole"), state(tmp_path / "part")) == []


def test_a_run_of_format_1_is_resumed_by_the_command(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "tests/training/state/data/format_1", tmp_path / "work", symlinks=True)
    done = trm("resume", "run", cwd=tmp_path / "work")
    assert done.returncode == 0, done.stderr
    assert state(tmp_path / "work/run")["step"] == 12


@pytest.mark.slow
def test_weights_and_biases_cannot_be_reached(home: Path, tmp_path: Path) -> None:
    write_boards(tmp_path / "data")
    nowhere = {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "0" * 40}
    done = start(tmp_path, "run", "wandb=online", **nowhere)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("logging offline") == 1
    assert "wandb sync run/wandb/*run-*-" in " ".join(done.stderr.split())
    assert differing(state(home / "whole"), state(tmp_path / "run")) == []


@pytest.mark.slow
def test_an_offline_run_says_how_to_send_it(tmp_path: Path) -> None:
    write_boards(tmp_path / "data")
    done = start(tmp_path, "run", "wandb=offline", "--stop-at-step", "3")
    assert done.returncode == 0, done.stderr
    (hint,) = [line for line in done.stderr.splitlines() if "wandb sync" in line]
    pattern = hint.rsplit(" ", 1)[1]
    assert len(list(tmp_path.glob(pattern))) == 1
