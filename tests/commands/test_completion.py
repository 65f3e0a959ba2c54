"""Completion in the shells: models, keys with their values, runs and architectures, without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.streams import ROOT, environment
from trm_cli.commands import completion


def completed(shell: str, line: str, cwd: Path) -> list[str]:
    """What the program answers to the script that it installs in a shell."""
    words = line.split(" ")
    ask = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    code = "import sys; sys.argv=['trm']; from trm_cli.app import main; main()"
    env = environment(**ask, _TRM_COMPLETE=f"complete_{shell}", PYTHONPATH=f"{ROOT}{os.pathsep}")
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True)
    return done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell(shell: str, tmp_path: Path) -> None:
    found = completed(shell, "trm train sudoku-4", tmp_path)
    assert any("sudoku-4x4" in word for word in found), found
    assert not any("sudoku-6x6" in word for word in found)


def test_words_of_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").touch()
    assert completion.model_words([], "mi") == ["mine.yaml", "micro_batch_size="]
    assert "arch.hidden_size=" in completion.model_words(["sudoku-4x4"], "arch.h")
    assert completion.settings([], "device=c") == ["device=cpu", "device=cuda"]
    assert completion.settings([], "ema=") == ["ema=true", "ema=false"]
    assert "arch=trm_maze" in completion.settings([], "arch=trm_m")
    assert completion.settings(["device", "="], "c") == ["cpu", "cuda"]  # as bash tears the word
    assert completion.settings(["device"], "=") == ["=auto", "=cpu", "=cuda", "=mps"]
    assert completion.settings([], "nothing=") == []


def test_runs(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("checkpoints").mkdir()
    Path("checkpoints/one").symlink_to(trained / "run")
    assert completion.runs("") == ["checkpoints/one"]
    assert completion.run_words([], "checkpoints/o")[0] == "checkpoints/one"


def test_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from trm_cli.commands import completion; completion.model_words([], ''); completion.runs(''); "
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT)), check=True)
