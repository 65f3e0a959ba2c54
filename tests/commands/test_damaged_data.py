"""What a dataset says of itself, and its content, are checked before anything is computed: exit code 3, one message."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fuzz.datasets import write_puzzles
from tests.support.commands import trm, trm_here
from tests.support.runs import TINY_RUN, prepare
from trm_cli.data.files import array_file
from trm_cli.data.files.manifest import MANIFEST_NAME
from trm_cli.errors import DatasetError
from trm_cli.training.signals import StopRequest


def words(data: Path, run: Path) -> list[str]:
    return ["sudoku-4x4", "arch=trm_quickstart", f"data_paths=[{data}]", f"checkpoint_path={run}", *TINY_RUN]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_puzzles(tmp_path / "data")


def put(path: Path, value: int) -> None:
    """Change one value of an array; there is no manifest that would notice."""
    array = np.load(path).astype(np.int64)
    array[1, 2] = value
    np.save(path, array)


def say(path: Path, key: str, value: object) -> None:
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, key: value}))


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


INDEX = "all__puzzle_indices.npy"
DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "input below 0": (lambda root: put(root / "train/all__inputs.npy", -1), "train: inputs holds -1..5"),
    "input above": (lambda root: put(root / "test/all__inputs.npy", 6), "test: inputs holds 1..6"),
    "label below 0": (lambda root: put(root / "test/all__labels.npy", -3), "test: labels holds -3..5"),
    "mean": (lambda root: say(root / "train/dataset.json", "mean_puzzle_examples", 3.5), "3.5, the arrays hold 1"),
    "puzzles": (lambda root: say(root / "train/dataset.json", "total_puzzles", 9), "total_puzzles 9, the arrays hold"),
    "pad": (lambda root: say(root / "train/dataset.json", "pad_id", 6), "pad_id must be below vocab_size, 6, found 6"),
    "blank": (lambda root: say(root / "train/dataset.json", "blank_identifier_id", 99), "blank_identifier_id must be"),
    "kind": (lambda root: say(root / "train/dataset.json", "kind", ["x"]), "kind must be a text or null"),
    "vocabulary": (lambda root: say(root / "train/dataset.json", "vocab_size", 10**12), "vocab_size must be"),
    "pipe for an array": (lambda root: pipe(root / "train" / INDEX), "it is a pipe"),
    "pipe for metadata": (lambda root: pipe(root / "train/dataset.json"), "it is a pipe"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_dataset_that_contradicts_itself_is_refused(data: Path, tmp_path: Path, damage: str) -> None:
    act, message = DAMAGES[damage]
    (data / MANIFEST_NAME).unlink()
    act(data)
    done = trm_here("train", *words(data, tmp_path / "run"), cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert message in " ".join(done.stderr.split())
    assert not (tmp_path / "run/metrics.jsonl").exists()


def test_a_changed_byte_stops_a_run_and_its_evaluation(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert trm("train", *words(data, run), "--stop-at-step", 4).returncode == 0
    inputs = data / "train/all__inputs.npy"
    content = bytearray(inputs.read_bytes())
    content[-1] = 1 if content[-1] != 1 else 2
    inputs.write_bytes(content)
    for line in (
        ["train", *words(data, tmp_path / "new")],
        ["resume", str(run)],
        ["evaluate", str(run), "--split=train"],
    ):
        done = trm(*line)
        assert done.returncode == 3, (line, done.stderr)
        assert "all__inputs.npy is damaged: its SHA-256" in " ".join(done.stderr.split())


def test_a_dataset_of_the_hrm_builders_trains(data: Path, tmp_path: Path) -> None:
    (data / MANIFEST_NAME).unlink()
    ours = ("total_puzzles", "format_version", "kind", "augmentation")
    for split in ("train", "test"):
        document = json.loads((data / split / "dataset.json").read_text())
        (data / split / "dataset.json").write_text(json.dumps({k: v for k, v in document.items() if k not in ours}))
    done = trm("train", *words(data, tmp_path / "run"), "--stop-at-step", 2)
    assert done.returncode == 0, done.stderr
    assert "does not state total_puzzles; the arrays hold 40" in " ".join(done.stderr.split())


def test_a_file_that_is_cut_under_a_run_ends_it_saved(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array_file, "KEPT_BYTES", 0)
    run, recorder = prepare(data, tmp_path / "run", "checkpoint_interval=100", "eval_interval=100", "epochs=100")
    stepped = recorder.stepped

    def cut(step: int, record: object, speed: float | None) -> None:
        stepped(step, None, speed)
        if step == 5:
            os.truncate(data / "train/all__inputs.npy", 150)

    monkeypatch.setattr(recorder, "stepped", cut)
    with StopRequest() as stop, pytest.raises(DatasetError, match=r"inputs\.npy was changed while it was in use"):
        run.train(recorder, stop)
    assert recorder.saved_steps[-1] in (5, 6, 7)
