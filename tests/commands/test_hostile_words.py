"""Words that no file system, device or launcher can take end in one message, in every command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.commands import trm, trm_here
from tests.support.streams import environment

LONG = "x" * 300
LISTED = "data_paths=[" + ", ".join(f"datasets/part-{number}" for number in range(40)) + "]"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (2, ["train", LONG]),
        (2, ["train", "sudoku-4x4", f"checkpoint_path={LONG}"]),
        (2, ["train", "sudoku-4x4", "--dry-run", f"checkpoint_path=a/{LONG}/b"]),
        (2, ["train", "sudoku-4x4", "--dry-run", f"data_paths=[{LONG}]"]),
        (2, ["train", "sudoku-4x4", "--dry-run", f"load_checkpoint={LONG}"]),
        (2, ["inspect-schedule", LONG]),
        (2, ["inspect-schedule", "sudoku-4x4", "--compare", LONG]),
        (2, ["inspect-model", LONG]),
        (2, ["build-dataset", LONG]),
        (2, ["configs", "validate", LONG]),
        (2, ["configs", "show", f"{LONG}.yaml"]),
        (3, ["inspect-dataset", LONG]),
        (4, ["resume", LONG]),
        (4, ["evaluate", LONG]),
        (4, ["report", LONG]),
        (4, ["solve", LONG, "1"]),
        (4, ["solve", f"{LONG}.pt", "1"]),
        (4, ["generate", LONG]),
        (4, ["show-capsules", LONG, "1", "--out", "a.png"]),
        (4, ["checkpoints", "list", LONG]),
        (4, ["checkpoints", "prune", LONG]),
        (4, ["checkpoints", "consolidate", LONG]),
        (4, ["checkpoints", "export", LONG, "--out", "a"]),
    ],
)
def test_a_name_that_is_too_long(code: int, words: list[str], tmp_path: Path) -> None:
    done = trm_here(*words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "\nerror: " in f"\n{done.stderr}"


def test_a_long_list_of_short_paths_is_an_override(tmp_path: Path) -> None:
    done = trm_here("configs", "show", "sudoku-4x4", LISTED, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "datasets/part-39" in done.stdout


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **_options: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    done = trm_here("inspect-dataset", "closed/data", cwd=tmp_path)
    assert done.returncode == 3, done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "run", "--noise", "inf"], "not a finite number"),
        (["evaluate", "run", "--noise", "nan"], "or equal to 0"),
        (["generate", "run", "--temperature", "inf"], "not a finite number"),
        (["solve", "run", "1" + "." * 15, "--device", "tpu"], "auto, cpu, cuda"),
        (["evaluate", "run", "--device", "tpu"], "auto, cpu, cuda"),
    ],
)
def test_a_value_that_means_nothing(words: list[str], said: str, trained: Path) -> None:
    done = trm_here(*words, cwd=trained)
    assert done.returncode == 2, done.stderr
    assert said in " ".join(done.stderr.replace("\N{BOX DRAWINGS LIGHT VERTICAL}", " ").split())


def test_a_puzzle_that_is_no_text(trained: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "trm_cli", "solve", "run"],
        cwd=trained, env=environment(), input=b"\xe91...", capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == b"error: standard input is not UTF-8 text (byte 0)\n"


def test_a_list_of_puzzles_that_is_a_pipe(trained: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = trm_here("solve", "run", "--all-solutions-of", str(tmp_path / "pipe"), cwd=trained)
    assert (done.returncode, "it is a pipe, not a file" in done.stderr) == (2, True), done.stderr


def test_weights_under_numbers(tmp_path: Path, dataset: Path) -> None:
    torch.save({1: torch.zeros(2)}, tmp_path / "step_1.pt")
    done = trm_here("checkpoints", "import", "step_1.pt", "--arch", "trm", "--dataset", str(dataset), cwd=tmp_path)
    assert done.returncode == 4
    assert "1 is not a weight's name" in done.stderr


@pytest.mark.parametrize(
    "extra",
    [{}, {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "abc"}, {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "70000"}],
)
def test_a_launcher_that_says_half(extra: dict[str, str], dataset: Path) -> None:
    words = [f"data_paths=[{dataset}]", "checkpoint_path=run", "wandb=disabled", "device=cpu"]
    done = trm("train", "sudoku-4x4", *words, cwd=dataset.parent, RANK="0", WORLD_SIZE="2", **extra)
    assert done.returncode == 2, done.stderr
    assert "not where the processes meet" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("word", "shown"),
    [("checkpoint_path=a\nb", '"a\\nb"'), ("init_from=a\tb", '"a\\tb"'), ('data_paths=["a\\nb"]', '"a\\nb"')],
)
def test_a_control_character_in_a_path(word: str, shown: str, tmp_path: Path) -> None:
    done = trm_here("configs", "show", "sudoku-4x4", word, cwd=tmp_path)
    assert done.returncode == 2
    said = done.stderr.splitlines()
    assert len(said) == 2, done.stderr
    assert "must be a string without control characters" in said[1] and said[1].endswith(f"found the string {shown}")
    assert "\t" not in said[1]


def test_an_empty_path(tmp_path: Path) -> None:
    done = trm_here("configs", "show", "sudoku-4x4", 'checkpoint_path=""', cwd=tmp_path)
    assert 'must be a string that is not empty; found the string ""' in done.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (bytes(300), "nul.csv holds NUL bytes: it is not a text file"),
        (b"1... .... ..2. ...\0", "nul.csv holds NUL bytes: it is not a text file"),
        ("1... .... ..2. ...3".encode("utf-16-le"), "nul.csv is UTF-16 without a byte order mark"),
    ],
    ids=["NUL bytes", "one NUL byte", "UTF-16 without a mark"],
)
def test_a_puzzle_file_with_nul_bytes(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "nul.csv").write_bytes(content)
    done = trm_here("solve", "nul.csv", cwd=tmp_path)
    assert done.returncode == 2
    assert f"error: {said}\n" in done.stderr
