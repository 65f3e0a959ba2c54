"""Commands in several real processes, and ways to end them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import commands
from tests.support.runs import TINY_RUN

ROOT = Path(__file__).resolve().parents[3]

#: 60 updates of a network with attention and a puzzle table, in which each kind of thing happens more than once.
RUN = (
    "arch=trm_sudoku_att", "arch.num_heads=2", "arch.L_cycles=1", "arch.H_cycles=2", "arch.puzzle_emb_ndim=16",
    *TINY_RUN, "epochs=12", "eval_interval=4",
)  # fmt: skip


def environment() -> dict[str, str]:
    """This process's, with the packages of this repository, and without any launcher's variables."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def words(folder: Path, run: str, *more: str) -> list[str]:
    """`trm train` on the boards in `folder`/data, kept in `folder`/`run`."""
    paths = [f"data_paths=[{folder / 'data'}]", f"checkpoint_path={folder / run}"]
    return ["train", "sudoku-4x4", *paths, *RUN, *more]


def trm(*line: str) -> subprocess.CompletedProcess[str]:
    """Carry a command out."""
    return commands.trm(*line)


def several_processes(count: int, script: Path, *line: object) -> subprocess.CompletedProcess[str]:
    """Launch a Python file in so many processes."""
    command = [sys.executable, str(script), *map(str, line)]
    launch = "import sys\nfrom trm_cli.training.distributed.launcher import launch\n"
    return commands.python("-c", f"{launch}sys.exit(launch({command!r}, {count}, print))")


def processes(parent: int) -> list[int]:
    """The processes that a launcher has started, in the order of their ranks."""
    return [
        int(word) for task in Path(f"/proc/{parent}/task").iterdir() for word in (task / "children").read_text().split()
    ]


@contextmanager
def running(folder: Path, run: str, *more: str, updates: int) -> Iterator[commands.Process]:
    """A run in two processes that has logged at least so many updates."""
    launcher = commands.Process("-m", "trm_cli", *words(folder, run, "--nproc-per-node", "2", *more))
    metrics = folder / run / "metrics.jsonl"
    try:
        while launcher.poll() is None and (not metrics.exists() or metrics.read_bytes().count(b"\n") < updates):
            time.sleep(0.01)
        yield launcher
    finally:
        launcher.kill()
        launcher.wait()
