"""Printed command lines mean in sh, bash and zsh what they were made of."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import trm_here
from trm_cli.config.compose import compose
from trm_cli.config.dump import describe_command, override
from trm_cli.config.registry import SHIPPED
from trm_cli.shell import command_line

SHELLS = [name for name in ("sh", "bash", "zsh") if shutil.which(name)]
ODD = [
    "a b",
    "a,b",
    "[x]",
    "a[1-2]",
    "it's",
    '"',
    "=ls",
    "~",
    "~/x",
    "$HOME",
    "a*",
    "?",
    "!x",
    "#x",
    "a;b",
    "\\",
    "é",
    "",
    "-x",
]
PATHS = ["a, b/data", "data[1]", "x=y", "on", "123", "1e3", "it's", "{a}", "#1", "a: b", "null", "d a t a"]


def words_of(shell: str, line: str) -> list[str]:
    printed = subprocess.run([shell, "-c", f"printf '%s\\0' {line}"], capture_output=True, text=True, check=True)
    return printed.stdout.split("\0")[:-1]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_word_comes_through(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ab").touch()
    assert words_of(shell, command_line(*ODD)) == ODD
    config = compose("sudoku-4x4", ["data_paths=[ab, a b]"])
    line = describe_command(config).removeprefix("Command: ")
    assert words_of(shell, line)[4] == 'data_paths=[ab,"a b"]'


def test_nothing_is_left_for_zsh_to_expand() -> None:
    """Where there is no zsh on the machine: what it would expand stands in quotes."""
    for word in ("data_paths=[a,b]", "a?", "a*", "=ls", "a[1]", "~x"):
        assert command_line(word) == f"'{word}'"


@pytest.mark.parametrize("path", PATHS)
def test_a_path_in_an_override_is_read_back(path: str) -> None:
    words = [override("data_paths", [path, "b"]), override("checkpoint_path", path)]
    config = compose("sudoku-4x4", words).config
    assert (list(config.data_paths), config.checkpoint_path) == ([path, "b"], path)


def test_the_command_of_a_run_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my models").mkdir()
    (tmp_path / "my models/mine.yaml").write_text((SHIPPED / "models/sudoku-4x4.yaml").read_text())
    (tmp_path / "mine arch.yaml").write_text((SHIPPED / "arch/trm.yaml").read_text())
    typed = ["my models/mine.yaml", "arch=mine arch.yaml", "data_paths=['a, b']", "checkpoint_path=r [1]", "lr=1e-3"]
    done = trm_here("train", *typed, "--dry-run", "--stop-at-step", "5", "dataset_args.train=9", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stderr.splitlines() if line.startswith("Command: trm"))
    again = words_of("sh", line.removeprefix("Command: "))
    assert again[-2:] == ["--stop-at-step", "5"]
    before, after = compose(typed[0], [*typed[1:], "dataset_args.train=9"]), compose(again[2], again[3:-2])
    assert before.config == after.config
    assert before.registry == after.registry


def test_a_resumed_run_names_itself(trained: Path) -> None:
    done = trm_here("resume", "run", "log_interval=2", "--dry-run", "--stop-at-step", "3", cwd=trained)
    assert "Command: trm resume run log_interval=2 --stop-at-step 3\n" in done.stderr
