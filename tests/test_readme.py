"""Every command of the README works, in the order in which it stands there, in an empty folder."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import trm

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()

#: What makes a training command end in seconds; the README's own words stay as they are.
SHORT = ["epochs=1", "arch.hidden_size=16", "threads=1"]


def commands() -> list[str]:
    """The lines of every `sh` block."""
    return [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.strip().splitlines()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("newcomer")


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("make ")])
def test_make_knows_the_target(line: str) -> None:
    done = subprocess.run([*shlex.split(line), "--dry-run"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_trm_command_ends_well(folder: Path) -> None:
    lines = [line for line in commands() if line.startswith("trm ")]
    assert len(lines) > 8
    for line in lines:
        words = shlex.split(line)[1:]
        more = SHORT if words[0] == "train" else []
        done = trm(*words, *more, cwd=folder)
        assert done.returncode in ((0, 5) if words[0] == "solve" else (0,)), f"{line}\n{done.stderr}"


def test_the_table_names_every_command_of_the_program_and_no_other() -> None:
    from trm_cli.app import create_app

    app = create_app()

    registered = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    listed = set(re.findall(r"^\| `trm ([a-z-]+)", README, re.MULTILINE))
    assert listed == registered
