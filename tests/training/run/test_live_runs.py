"""Commands that look at a run while it trains: files come and go between two looks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trm_cli.training.checkpoint import checkpoint_format, checkpoint_io, inventory
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.run.find_run import known_runs


@pytest.mark.parametrize("moment", ["before it is read", "after it is read"])
def test_a_checkpoint_that_is_pruned_meanwhile_is_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"run": "r", "dataset": {}, "threads": 1}))
    store = CheckpointStore(tmp_path)
    for step in (5, 10):
        checkpoint_format.save_file(store.path(step), {"step": step}, {"step": step, "run": "r"})

    def pruned(path: Path) -> dict[str, Any]:
        if moment == "before it is read":
            store.path(5).unlink(missing_ok=True)
        summary = checkpoint_io.verify_checkpoint(path)
        store.path(5).unlink(missing_ok=True)
        return summary

    monkeypatch.setattr(inventory, "verify_checkpoint", pruned)
    (entry,) = inventory.inventory(store, verified=True)
    assert (entry.step, entry.problem, entry.verified) == (10, None, True)


def test_a_run_whose_files_come_and_go_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "checkpoints" / "run"
    run.mkdir(parents=True)
    (run / "config.yaml").touch()
    listed = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda self: [*listed(self), self / ".step_00000005.pt.tmp"])
    monkeypatch.chdir(tmp_path)
    assert known_runs() == [Path("checkpoints/run")]
