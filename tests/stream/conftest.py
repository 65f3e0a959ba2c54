from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from dataset_builders.streaming_builder import main
from tests.stream.held_builder import prepare_folder

ROOT = Path(__file__).resolve().parents[2]
# Small parts, so that a build of a second has dozens of them and several chunks.
SMALL = ("--sources", "stories", "--limit", "1070", "--batch-records", "5")

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


@pytest.fixture(scope="session")
def build() -> Builder:
    """A build in this process; a real one where workers, or another environment, are asked for."""

    def run(*flags: str | Path, **extra: str) -> subprocess.CompletedProcess[str]:
        if not extra and "--workers" not in flags:
            return build_in_process(*flags)
        return subprocess.run(
            command(*flags), cwd=ROOT, env=environment(**extra), capture_output=True, text=True, timeout=240
        )

    return run


@pytest.fixture(scope="session")
def small_dataset(build: Builder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished build of SMALL with one worker: what every other way of building must equal."""
    root = tmp_path_factory.mktemp("stream") / "small"
    done = build("--output-dir", root, *SMALL)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="session")
def mixed_dataset(build: Builder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Puzzles with augmentations, and stories."""
    root = tmp_path_factory.mktemp("stream") / "mixed"
    done = build(
        "--output-dir", root, "--sources", "kaggle/combined", "stories",
        "--limits", "stories=300", "kaggle/combined=40",
        "--augment", "--augmentations", "8", "--test-share", "0.1", "--weights", "kaggle/combined=1.5",
        "--batch-records", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model `held.yaml` whose builder waits in front of its second training chunk."""
    return prepare_folder(tmp_path)
