"""Completion in the shells: models, keys with their values, runs and architectures, without torch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tests.support.streams import ROOT, environment
from trm_cli.app import create_app
from trm_cli.commands.options import completion

PROGRAM = "import sys; sys.argv[0] = 'trm'; from trm_cli.app import main; main()"


def completed(shell: str, line: str, cwd: Path) -> list[str]:
    """What the program answers to the script that it installs in a shell. bash takes the sign for a word of its own."""
    words = re.sub("=", " = " if not line.endswith("=") else " =", line) if shell == "bash" else line
    ask = {
        "bash": {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    env = environment(**ask, _TRM_COMPLETE=f"complete_{shell}", PYTHONPATH=f"{ROOT}{os.pathsep}")
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=cwd, env=env, capture_output=True, text=True)
    return done.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell(shell: str, tmp_path: Path) -> None:
    found = completed(shell, "trm train sudoku-4", tmp_path)
    assert any("sudoku-4x4" in word for word in found), found
    assert not any("sudoku-6x6" in word for word in found)


def test_words_of_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").touch()
    assert completion.model_words("mi") == ["mine.yaml", "micro_batch_size="]
    assert "arch.hidden_size=" in completion.model_words("arch.h")
    assert completion.settings("device=c") == ["device=cpu", "device=cuda"]
    assert completion.devices("c") == ["cpu", "cuda"]
    assert completion.settings("ema=") == ["ema=true", "ema=false"]
    assert "arch=trm_maze" in completion.settings("arch=trm_m")
    assert completion.settings("nothing=") == []


def test_a_value_in_bash(tmp_path: Path) -> None:
    assert completed("bash", "trm train sudoku-4x4 arch=trm_si", tmp_path) == ["trm_singlez"]
    assert completed("bash", "trm train sudoku-4x4 device=", tmp_path) == ["auto", "cpu", "cuda", "mps"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a program `trm` on the path and its completion installed in every shell."""
    home = tmp_path_factory.mktemp("home")
    (home / "bin").mkdir()
    (home / "bin/trm").write_text(f"#!{sys.executable}\n{PROGRAM}\n")
    (home / "bin/trm").chmod(0o755)
    for shell in ("bash", "zsh", "fish"):
        env = as_at(home, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
        done = subprocess.run(["trm", "--install-completion", shell], cwd=home, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return home


def as_at(home: Path, **extra: str) -> dict[str, str]:
    path = f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"
    own = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), "PATH": path, "TERM": "xterm"}
    return environment(**own, PYTHONPATH=str(ROOT), **extra)


BASH = """
source ~/.bash_completions/trm.sh
compopt() { echo without "$@"; }
COMP_WORDS=(trm train sudoku-4x4 %s) COMP_CWORD=3
_trm_completion trm
printf '%%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
@pytest.mark.parametrize(
    ("typed", "found"),
    [("arch.hid", ["without -o nospace", "arch.hidden_size="]), ("sudoku-6", ["sudoku-6x6"])],
)
def test_in_bash(typed: str, found: list[str], home: Path) -> None:
    done = subprocess.run(["bash", "-c", BASH % typed], cwd=home, env=as_at(home), capture_output=True, text=True)
    assert done.stdout.split("\n")[:-1] == found, done.stderr


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish here")
def test_in_fish(home: Path) -> None:
    ask = "complete -C 'trm train sudoku-4x4 arch=trm_si'"
    done = subprocess.run(["fish", "-c", ask], cwd=home, env=as_at(home), capture_output=True, text=True)
    assert done.stdout.split() == ["arch=trm_singlez"], done.stderr


ZSH = """
compdef() {}
compadd() { print -r -- compadd "$@" }
_arguments() { print -r -- _arguments "$@" }
typeset -A compstate=(inside completion)
words=(trm train %s) CURRENT=${#words}
source ~/.zfunc/_trm
"""


@pytest.mark.skipif(not shutil.which("zsh"), reason="no zsh here")
@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("sudoku-4x4 arch.hid", ["compadd -S  -- arch.hidden_size=", "compadd --"]),
        ("sudoku-6", ['_arguments *: :(("sudoku-6x6"))']),
    ],
)
def test_in_zsh_at_the_first_tab(typed: str, found: list[str], home: Path) -> None:
    """What the script does when zsh reads it, which is at the first Tab."""
    done = subprocess.run(["zsh", "-c", ZSH % typed], cwd=home, env=as_at(home), capture_output=True, text=True)
    assert done.stdout.splitlines() == found, done.stderr


def test_runs(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("checkpoints").mkdir()
    Path("checkpoints/one").symlink_to(trained / "run")
    assert completion.runs("") == ["checkpoints/one"]
    assert completion.run_words("checkpoints/o")[0] == "checkpoints/one"


def test_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from trm_cli.commands.options import completion; completion.model_words(''); completion.runs(''); "
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT)), check=True)


#: Arguments and options, by their names in the program, that mean something which can be listed.
LISTED = ("run", "runs", "model", "words", "names", "arch", "device", "directory")


def test_whatever_can_be_listed_is_completed() -> None:
    """In every command: runs, models, architectures, devices and settings."""

    def unlisted(command: Any, words: list[str]) -> list[str]:
        below = [
            one for name, each in getattr(command, "commands", {}).items() for one in unlisted(each, [*words, name])
        ]
        own = [each for each in command.params if each.name in LISTED and each._custom_shell_complete is None]
        return [*below, *(" ".join([*words, each.name]) for each in own)]

    assert unlisted(typer.main.get_command(create_app()), ["trm"]) == []
