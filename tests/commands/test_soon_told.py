"""Trivial mistakes are told before torch is loaded, which takes seconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.streams import ROOT, environment

#: A program in which nothing can import torch.
CODE = "import sys; sys.modules['torch'] = None; from trm_cli.app import main; main()"


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (2, "train sudoku-4x5", "no model is called"),
        (2, "train sudoku-4x4 epoch=3", "unknown key"),
        (2, "train sudoku-4x4 --epochs 3", "settings are written without dashes"),
        (2, "train nofile.yaml", "does not exist"),
        (2, "train sudoku-4x4 dataset_args.tran=3", "the builder knows no --tran"),
        (3, "train sudoku-4x4 data_paths=[one,two]", "is missing, and no model says how to build it"),
        (4, "train sudoku-4x4 load_checkpoint=none.pt", "none.pt cannot be read"),
        (4, "train sudoku-4x4 init_from=none.pt", "none.pt cannot be read"),
        (4, "resume nowhere", "there is no run nowhere"),
        (4, "solve nowhere 1", "there is no run nowhere"),
        (4, "solve none.pt 1", "there is no file none.pt"),
        (4, "evaluate nowhere", "there is no run nowhere"),
        (4, "evaluate", "no runs in checkpoints/"),
        (4, "generate nowhere", "there is no run nowhere"),
        (4, "show-capsules nowhere 1 --out a.png", "there is no run nowhere"),
        (4, "classify nowhere .", "there is no run nowhere"),
        (2, "classify nowhere a.png", "there is no file a.png"),
        (2, "show-capsules nowhere 1 --out a.pdf", "--out a.png"),
        (4, "adapt nowhere tasks.json --updates 3", "there is no run nowhere"),
        (2, "train sudoku-4x4 --device mps", "Apple's GPUs are in Macs alone"),
        (4, "checkpoints export nowhere --out a", "there is no run nowhere"),
        (4, "checkpoints list nowhere", "there is no run nowhere"),
        (4, "checkpoints import nofile --arch trm --dataset data", "nofile does not exist"),
        (4, "report nowhere", "there is no run nowhere"),
        (3, "inspect-dataset nowhere", "dataset nowhere does not exist"),
        (2, "inspect-model nowhere", "nowhere"),
        (2, "inspect-schedule nowhere", "no model is called"),
    ],
)
def test_no_torch_is_needed_for_it(code: int, words: str, said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words.split()],
        cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, said in " ".join(done.stderr.split())) == (code, True), done.stderr


@pytest.mark.parametrize("words", ["train sudoku-4x4 --dry-run", "train sudoku-4x4 device=cuda"])
def test_a_card_that_is_not_there_is_told_without_torch(words: str, tmp_path: Path) -> None:
    """By the files of its driver, which this process does not see."""
    line = [*words.split(), "device=cuda"]
    code = f"from trm_cli.training.hardware import devices; devices._DRIVERS = ('none',); {CODE}"
    done = subprocess.run(
        [sys.executable, "-c", code, *line],
        cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, "there is no CUDA device here" in done.stderr) == (2, True), done.stderr
    assert "`trm doctor` says what torch sees" in done.stderr
    assert not list(tmp_path.iterdir())
