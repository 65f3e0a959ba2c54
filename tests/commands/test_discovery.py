"""A file in `trm_cli/commands` with a function of its own name is a command: nothing else names it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from trm_cli import commands
from trm_cli.app import create_app

NEW = """
def say_hello() -> None:
    print("hello")
"""


def test_a_new_file_is_a_new_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "say_hello.py").write_text(NEW)
    (tmp_path / "shared_by_some.py").write_text("")
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])

    called = CliRunner().invoke(create_app("say-hello"), ["say-hello"])
    assert (called.exit_code, called.stdout) == (0, "hello\n")
    every = create_app()
    names = [command.name for command in every.registered_commands]
    assert names[0] == "quickstart" and names[-1] == "say-hello"


def test_only_the_called_command_is_there() -> None:
    app = create_app("train")
    assert [command.name for command in app.registered_commands] == ["train"] and not app.registered_groups
