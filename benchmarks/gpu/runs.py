"""Whole runs that `benchmarks.gpu_check` makes: one that is stopped and goes on, and two that should be the same."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_flatten_with_path

from benchmarks.gpu.cases import Case, Updates, Way, task_of
from trm_cli.errors import ExitCode

_ROOT = Path(__file__).resolve().parents[2]
_UPDATES = 4
#: Seconds in which a training that is asked to stop saves and ends.
_GRACE = 30
#: Share of whole boards of sudoku-4x4 that a training of 75 s on a card is meant to get right.
ACCURACY = 0.9


def train_and_go_on(way: Way, seconds: float) -> dict[str, Any]:
    """Train sudoku-4x4 for so many seconds, stopped by SIGTERM after a third of them and resumed.

    agrees: both ended as they should, and the second went on where the first had stopped. exact_accuracy: of the last
    evaluation, beside what is meant to be reached.
    """
    with tempfile.TemporaryDirectory(prefix="gpu_check_") as name:
        folder = Path(name)
        command = [
            *(sys.executable, "-m", "trm_cli", "train", "sudoku-4x4", f"device={way.device}"),
            *(f"data_paths=[{folder / 'data'}]", f"checkpoint_path={folder / 'run'}", "wandb=disabled"),
            *("eval_interval=4", f"precision={way.precision}", *way.words),
        ]
        stopped = _run_for(command, seconds / 3, folder)
        metrics = folder / "run" / "metrics.jsonl"
        before = _records(metrics)
        ended = _run_for(command, seconds * 2 / 3, folder)
        records = _records(metrics)
    evaluated = [record["exact_accuracy"] for record in records if record["kind"] == "eval"]
    codes = {int(ExitCode.DONE), int(ExitCode.TERMINATED)}
    return {
        "exit_codes": [stopped, ended],
        "steps": max((record["step"] for record in records), default=0),
        "exact_accuracy": evaluated[-1] if evaluated else None,
        "aim": ACCURACY,
        "agrees": {stopped, ended} <= codes and bool(records) and records[: len(before)] == before,
    }


def _records(metrics: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in metrics.read_text().splitlines()] if metrics.exists() else []


def _run_for(command: list[str], seconds: float, folder: Path) -> int:
    """The exit code of a command that is asked to stop after so many seconds; that of SIGKILL where it does not."""
    with (folder / "output.txt").open("ab") as output:
        process = subprocess.Popen(command, cwd=_ROOT, stdout=output, stderr=output)
        try:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(seconds)
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                return process.wait(_GRACE)
            return -signal.SIGKILL
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def differences(case: Case, way: Way, rows: int) -> dict[str, Any]:
    """Which parts of the state differ in any bit after some updates, made twice from the same start."""
    states = [_state_after_updates(case, way, rows) for _ in range(2)]
    differs = [name for name, value in states[0].items() if not _same(value, states[1][name])]
    return {"parts": len(states[0]), "differs": differs, "updates": _UPDATES}


def _state_after_updates(case: Case, way: Way, rows: int) -> dict[str, torch.Tensor]:
    updates = Updates(task_of(case, rows, way), case)
    for _ in range(_UPDATES):
        updates.next()
    leaves, _ = tree_flatten_with_path(updates.state.state_dict())
    return {
        ".".join(str(key) for key in path): value.detach().cpu().clone()
        for path, value in leaves
        if isinstance(value, torch.Tensor)
    }


def _same(left: torch.Tensor, right: torch.Tensor) -> bool:
    return torch.equal(*(value.contiguous().reshape(-1).view(torch.uint8) for value in (left, right)))
