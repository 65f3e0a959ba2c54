"""What the commands about checkpoints refuse before they load one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.runs import train
from trm_cli.errors import UsageError
from trm_cli.workflows.checkpoints import export_run

PRETRAINED = Path(__file__).parents[2] / "pretrained/sudoku-4x4"


def test_a_network_without_a_puzzle_table_has_no_names_of_rows(tmp_path: Path, dataset: Path) -> None:
    train(dataset, tmp_path / "run", stop_at_step=1)
    notes: list[str] = []
    for run in (tmp_path / "run", PRETRAINED):
        with pytest.raises(UsageError, match="this network has no puzzle table: leave out --identifiers"):
            export_run(str(run), tmp_path / "x.bin", "original", notes.append, identifiers=tmp_path / "ids.json")
    assert notes == []
    assert not [*tmp_path.glob("x.bin"), *tmp_path.glob("ids.json")]
