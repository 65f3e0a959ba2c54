"""`trm sweep`: trials that are planned, trained, killed and continued."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.support.boards import write_boards
from tests.support.commands import Process, trm, trm_here
from tests.support.runs import TINY_RUN, differing
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint


def _write(folder: Path, name: str, epochs: int, search: str, more: str = "") -> None:
    shared = "\n".join(f"  {word.replace('=', ': ', 1)}" for word in TINY_RUN if not word.startswith("epochs"))
    (folder / name).write_text(
        f"model: sudoku-4x4\n{more}settings:\n{shared}\n  epochs: {epochs}\n  data_paths: [data]\nsearch:\n{search}"
    )


_SIX = "  lr: [1e-3, 2e-3, 4e-3]\n  arch.L_cycles: [1, 2]\n"


def test_a_dry_run_plans_every_trial_and_writes_nothing(tmp_path: Path) -> None:
    write_boards(tmp_path / "data")
    _write(tmp_path, "two.yaml", 4, "  global_batch_size: [4, 8]\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    found = json.loads(trm_here("sweep", "two.yaml", "--dry-run", "--json", cwd=tmp_path).stdout)
    assert [trial["plan"]["total_steps"] for trial in found["trials"]] == [40, 20]
    assert found["seconds"] == pytest.approx(
        sum(one["forecast"]["seconds"]["likely"] for one in found["trials"]), abs=0.1
    )
    assert found["memory_bytes"] > 0 and sorted(path.name for path in tmp_path.iterdir()) == before


def test_mistakes_of_a_trial_are_told_before_any_begins(tmp_path: Path) -> None:
    write_boards(tmp_path / "data")
    _write(tmp_path, "bad.yaml", 2, "  lr: [1e-3, 100]\n")
    done = trm_here("sweep", "bad.yaml", cwd=tmp_path)
    assert done.returncode == 2 and "lr=100" in done.stderr and not (tmp_path / "checkpoints").exists()
    _write(tmp_path, "two.yaml", 2, "  lr: [1e-3, 2e-3]\n")
    done = trm_here("sweep", "two.yaml", "--trial", "2", cwd=tmp_path)
    assert done.returncode == 2 and "trials 0 to 1" in done.stderr


@pytest.mark.slow
def test_six_trials_that_are_killed_end_as_those_that_are_not(tmp_path: Path) -> None:
    write_boards(tmp_path / "data")
    _write(tmp_path, "whole.yaml", 8, _SIX)
    _write(tmp_path, "killed.yaml", 8, _SIX)
    whole = trm("sweep", "whole.yaml", "--json", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    runs = tmp_path / "checkpoints/killed"
    for number, code, trial in ((9, -9, 0), (9, -9, 1), (15, 75, 2), (2, 130, 3), (9, -9, 4)):
        process = Process("-m", "trm_cli", "sweep", "killed.yaml", "--jobs", "2", cwd=tmp_path)
        log = runs / f"trial-{trial:03d}/metrics.jsonl"
        before = log.stat().st_size if log.exists() else 0
        while process.poll() is None and not (log.exists() and log.stat().st_size > before):
            time.sleep(0.01)
        os.kill(process.pid, signal.Signals(number))
        assert process.wait(60) in (code, 0), process.errors()
    done = trm("sweep", "killed.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = [json.loads(one.stdout) for one in (whole, done)]
    assert found[0]["trials"] == found[1]["trials"] and len(found[0]["trials"]) == 6
    assert found[0]["best"] == found[1]["best"] is not None
    for trial in range(6):
        ends = (tmp_path / f"checkpoints/{name}/trial-{trial:03d}/latest.pt" for name in ("whole", "killed"))
        left, right = (load_checkpoint(path.resolve())[0] for path in ends)
        assert differing(left, right) == []
    again = trm("resume", "checkpoints/killed/trial-003", cwd=tmp_path)
    assert again.returncode == 0 and "is complete" in again.stdout


@pytest.mark.slow
def test_optuna_chooses_the_same_trials_after_a_kill_and_gives_poor_ones_up(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    write_boards(tmp_path / "data")
    search = "  lr: {low: 1e-5, high: 1e-2, log: true}\n  arch.L_cycles: [1, 2]\n"
    for name in ("whole", "killed"):
        _write(tmp_path, f"{name}.yaml", 8, search, "method: optuna\ntrials: 6\nobjective: token_accuracy\n")
    whole = trm("sweep", "whole.yaml", "--json", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    process = Process("-m", "trm_cli", "sweep", "killed.yaml", cwd=tmp_path)
    log = tmp_path / "checkpoints/killed/trial-002/metrics.jsonl"
    while process.poll() is None and not log.exists():
        time.sleep(0.01)
    process.kill()
    process.wait(60)
    done = trm("sweep", "killed.yaml", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = [json.loads(one.stdout) for one in (whole, done)]
    chosen = [[(one["settings"], one["state"]) for one in document["trials"]] for document in found]
    assert chosen[0] == chosen[1] and len(chosen[0]) == 6
    assert found[0]["best"] == found[1]["best"] is not None
