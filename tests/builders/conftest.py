"""The generators are compiled by one process of a test run, while the others wait: afterwards they lie on disk."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from dataset_builders import maze, sudoku


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Generate a few puzzles of each kind before anything else does."""
    root = tmp_path_factory.mktemp("compiled")
    # Above the folder of this worker, so that all workers look at the same file.
    with Path(tmp_path_factory.getbasetemp().parent, "compiling").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        few = ["--train", "2", "--test", "2", "--workers", "1", "--output-dir"]
        assert sudoku.main(["--box", "2", "2", *few, str(root / "sudoku")]) == 0
        assert maze.main(["--size", "6", "--min-path", "4", *few, str(root / "maze")]) == 0
