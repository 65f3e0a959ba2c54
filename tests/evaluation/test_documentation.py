"""The commands of docs/evaluation.md work, in the order in which they stand there."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from trm_cli.app import create_app
from trm_cli.console import output

PAGE = Path(__file__).resolve().parents[2] / "docs" / "evaluation.md"


def test_every_command_of_the_page(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.strip().splitlines()]
    assert len(lines) > 8
    shutil.copytree(trained / "run", tmp_path / "checkpoints/sudoku-4x4")
    monkeypatch.chdir(tmp_path)
    try:
        for line in lines:
            # The console of the one before belongs to streams that are gone.
            output.stdout.cache_clear()
            output.stderr.cache_clear()
            words = shlex.split(line)[1:]
            fewer = ["--limit", "9"] if words[0] == "evaluate" and "--limit" not in words else []
            done = CliRunner().invoke(create_app(), [*words, *fewer])
            assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"
    finally:
        output.stdout.cache_clear()
        output.stderr.cache_clear()
    assert (tmp_path / "report.png").exists() and (tmp_path / "answers.npz").exists()
