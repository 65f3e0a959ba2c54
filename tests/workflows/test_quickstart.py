"""`trm quickstart` says what it trains and why, trains it, and shows a puzzle that the model never saw."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import typer

from tests.support.boards import write_boards
from trm_cli.commands.quickstart import quickstart
from trm_cli.workflows import quickstart as choosing

TINY = """
architecture: trm_quickstart
dataset_builder: dataset_builders/sudoku.py
dataset_args:
  output_dir: {data}
checkpoint_path: {run}
overrides:
  epochs: 2
  eval_interval: 1
  global_batch_size: 8
  wandb: disabled
  threads: 1
  arch:
    hidden_size: 16
    halt_max_steps: 2
"""


def test_it_trains_and_shows_a_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = write_boards(tmp_path / "data"), tmp_path / "run"
    model = tmp_path / "sudoku-tiny.yaml"
    model.write_text(TINY.format(data=data, run=run))
    monkeypatch.setattr(choosing, "ON_CPU", str(model))
    from trm_cli.console import output

    output.stdout.cache_clear()
    output.stderr.cache_clear()
    for _ in range(2):  # the second time the run is complete, and the board is shown all the same
        with pytest.raises(typer.Exit) as left:
            quickstart()
        assert left.value.exit_code == 0
        shown = capsys.readouterr()
        assert "no CUDA device here" in shown.err
        assert "trm train vision-unified" in shown.err
        assert "puzzle" in shown.out
        assert f"trm solve {run}" in shown.err
    assert "is complete: 10 steps" in shown.out
    output.stdout.cache_clear()
    output.stderr.cache_clear()


def test_a_cuda_machine_trains_the_flagship(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A card")
    choice = choosing.choose_model()
    assert choice.value == "vision-unified"
    assert "A card" in choice.reason
    assert "trm train sudoku-4x4" in choice.reason
