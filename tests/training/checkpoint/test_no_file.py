"""A pipe, a folder or a link in a circle in the place of a file of a run: an error at once, and its documented code."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.boards import write_boards
from tests.support.commands import trm_here
from tests.support.runs import train
from trm_cli.training.checkpoint.store import CheckpointStore


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("no-file")
    train(write_boards(root / "data"), root / "run", stop_at_step=10)
    return root


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(folder / "run", tmp_path / "run", symlinks=True)
    return tmp_path / "run"


@pytest.fixture(autouse=True)
def limit() -> Iterator[None]:
    """A wait ends the test instead of the patience of whoever runs it."""

    def end(number: int, frame: object) -> None:
        raise AssertionError("waited for what never comes")

    previous = signal.signal(signal.SIGALRM, end)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


def circle(path: Path) -> None:
    path.symlink_to(path.name)


KINDS: dict[str, Callable[[Path], None]] = {"pipe": os.mkfifo, "folder": Path.mkdir, "circle": circle}  # type: ignore[dict-item]


def put(kind: str, path: Path) -> None:
    path.unlink(missing_ok=True)
    KINDS[kind](path)


@pytest.mark.parametrize("kind", KINDS)
def test_in_the_place_of_the_newest_checkpoint_the_one_before_is_used(run: Path, kind: str) -> None:
    put(kind, CheckpointStore(run).path(10))
    done = trm_here("checkpoints", "list", str(run), cwd=run.parent)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    for line in (("checkpoints", "verify", str(run)), ("evaluate", str(run / "step_00000010.pt"))):
        done = trm_here(*line, cwd=run.parent)
        assert (done.returncode, "Traceback" in done.stderr) == (4, False), done.stderr
    done = trm_here("resume", str(run), "--stop-at-step", "6", cwd=run.parent)
    told = " ".join(done.stderr.split())
    assert done.returncode == 0, told
    assert "step_00000010.pt cannot be read" in told
    assert "continuing from step 5" in told


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["run.json", "plan.json", "metrics.jsonl", "timings.jsonl"])
def test_in_the_place_of_another_file_of_a_run(run: Path, name: str, kind: str) -> None:
    put(kind, run / name)
    for line in (
        ("resume", str(run), "--stop-at-step", "12"),
        ("report", str(run), "--out", str(run.parent / "report.html")),
        ("checkpoints", "prune", str(run), "--keep", "1"),
        ("checkpoints", "list", str(run)),
    ):
        done = trm_here(*line, cwd=run.parent)
        assert done.returncode in (0, 4), (line, done.stderr)
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_in_the_place_of_weights(folder: Path, tmp_path: Path, ending: str, kind: str) -> None:
    put(kind, tmp_path / f"w.{ending}")
    words = ("--arch", "trm_quickstart", "--dataset", str(folder / "data"), "--out", str(tmp_path / "run"))
    done = trm_here("checkpoints", "import", str(tmp_path / f"w.{ending}"), *words, cwd=tmp_path)
    assert done.returncode == 4, done.stderr
    assert "cannot be read" in " ".join(done.stderr.split())


def test_a_file_to_start_from_that_is_a_pipe(folder: Path, tmp_path: Path) -> None:
    put("pipe", tmp_path / "start.pt")
    words = ["arch=trm_quickstart", f"data_paths=[{folder / 'data'}]", f"checkpoint_path={tmp_path / 'run'}"]
    done = trm_here("train", "sudoku-4x4", *words, f"load_checkpoint={tmp_path / 'start.pt'}", cwd=tmp_path)
    assert (done.returncode, "a pipe" in done.stderr) == (4, True), done.stderr
