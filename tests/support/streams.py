"""Building small stream datasets, in this process or in another one."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from dataset_builders.streaming_builder import main

ROOT = Path(__file__).resolve().parents[2]
# Small parts, so that a build of a second has dozens of them and several chunks.
SMALL = ("--sources", "stories", "--limit", "1070", "--text-window", "1024", "--batch-records", "5")

Builder = Callable[..., subprocess.CompletedProcess[str]]


def command(*flags: str | Path) -> list[str]:
    return [sys.executable, "-m", "dataset_builders.streaming_builder", *map(str, flags)]


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), **extra}


def contents(root: Path) -> dict[str, str]:
    """Every file but the lock, with the hash of its content."""
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def build_in_process(*flags: str | Path) -> subprocess.CompletedProcess[str]:
    """Build as a process would, without waiting for its imports."""
    output, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(errors):
        code = main(["--workers", "1", *map(str, flags)])
    return subprocess.CompletedProcess(flags, code, output.getvalue(), errors.getvalue())


def build_canvases(root: Path) -> Path:
    """A stream dataset of some 250 records: ARC pairs with augmentations and demonstrations, stories, and pictures."""
    flags = [
        "--sources",
        "kaggle/combined",
        "stories",
        "--limits",
        "stories=60",
        "kaggle/combined=12",
        "pictures=60",
        "--augment",
    ]
    flags += ["--augmentations", "4", "--test-share", "0.1", "--weights", "kaggle/combined=2"]
    flags += ["--text-window", "128", "--demonstrations", "2", "--pictures", "builtin", "--picture-side", "16"]
    done = build_in_process("--output-dir", root, *flags)
    assert done.returncode == 0, done.stderr
    return root
