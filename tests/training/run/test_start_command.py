"""The command that starts a run anew, which is advised where there is no checkpoint to continue from."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.support.boards import write_boards
from tests.support.commands import trm_here
from tests.support.runs import TINY_RUN
from trm_cli.commands.options.arguments import compose_words
from trm_cli.training.run.sealed_config import load_run
from trm_cli.training.run.start_command import start_command


@pytest.mark.parametrize(
    "more",
    [
        [],
        [
            "arch=trm_sudoku",
            "arch.hidden_size=16",
            "arch.num_heads=2",
            "arch.puzzle_emb_len=0",
            "arch.puzzle_emb_ndim=0",
            "seed=7",
        ],
    ],
)
def test_it_composes_the_configuration_of_the_run(more: list[str], tmp_path: Path) -> None:
    data = write_boards(tmp_path / "the data")
    words = [f"data_paths=[{data}]", "checkpoint_path=a run", *TINY_RUN, *more]
    assert trm_here("train", "sudoku-4x4", *words, "--stop-at-step", "1", cwd=tmp_path).returncode == 0
    run = tmp_path / "a run"
    before = load_run(run).config
    for file in (*run.glob("step_*.pt"), *run.glob("*.pt")):
        file.unlink(missing_ok=True)
    told = start_command(run)
    assert shlex.split(told)[:3] == ["trm", "train", "sudoku-4x4"]
    again = compose_words(shlex.split(told)[2:]).config
    assert again.model_copy(update={"checkpoint_path": before.checkpoint_path}) == before
    for command in ("resume", "evaluate", "solve"):
        done = trm_here(command, str(run), *(["1......1..343..2"] if command == "solve" else []), cwd=tmp_path)
        assert done.returncode == 4, done.stderr
        assert f"`{told}`" in " ".join(done.stderr.split()), done.stderr
    report = trm_here("report", str(run), cwd=tmp_path)
    assert "the run has no checkpoint yet" in report.stderr
    assert "Next:" not in report.stderr
