"""Settings of every test: one thread a process, no network, nothing written outside the test's own folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from trm_cli.collector import spare_imports

if TYPE_CHECKING:
    from tests.support.streams import Builder

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["WANDB_MODE"] = "disabled"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["NO_COLOR"] = "1"
os.environ["COLUMNS"] = "100"
os.environ["TERM"] = "dumb"
os.environ["TRM_ALLOW_BUILDER"] = "1"  # builders of tests lie in folders of their own
os.environ.pop("TRM_DEBUG", None)
os.environ.pop("TRM_LOG_LEVEL", None)
spare_imports()
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup ignores, for all that a test starts, too
signal.signal(signal.SIGINT, signal.default_int_handler)  # the same, of a script that runs the tests in the background
# No test cuts the power: `failing_disk` keeps account of what was flushed, and nobody waits for the disk.
os.fsync = os.fdatasync = os.fstat  # type: ignore[assignment]

# A neighbour that is busy, or the first call of something compiled, takes longer than hypothesis allows an example.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a card where there is none."""
    needing = [item for item in items if item.get_closest_marker("requires_cuda")]
    if not needing:
        return
    import torch

    if not torch.cuda.is_available():
        for item in needing:
            item.add_marker(pytest.mark.skip(reason="no CUDA card here"))


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A copy, of this process alone, of the folder that one of the test processes makes for all of them."""
    base = factory.getbasetemp()
    original = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"{name}-original"
    with original.with_suffix(".lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
        if not os.fstat(lock.fileno()).st_size:
            original.mkdir()
            make(original)
            lock.write("made")
    copy = factory.mktemp(name)
    return shutil.copytree(original, copy, symlinks=True, dirs_exist_ok=True)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Small Sudoku boards in the array layout."""
    from tests.support.boards import write_boards

    return write_boards(tmp_path / "data")


@pytest.fixture(scope="session")
def canvases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stream dataset of ARC pairs and stories; for reading alone."""
    from tests.support.streams import build_canvases

    return build_canvases(tmp_path_factory.mktemp("stream") / "canvases")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with boards in `data` and a run on them in `run`, right about some of them and wrong about others."""
    from tests.support.boards import write_boards
    from tests.support.runs import train

    def make(folder: Path) -> None:
        write_boards(folder / "data", test=60)
        settings = (
            "epochs=40",
            "eval_interval=20",
            "checkpoint_interval=20",
            "arch.hidden_size=32",
            "lr=3e-3",
            "ema_rate=0.9",
            "optimizer=adamw",
        )
        train(folder / "data", folder / "run", *settings)

    return made_once(tmp_path_factory, "trained", make)


@pytest.fixture(scope="session")
def build() -> Builder:
    """A build in this process; a real one where workers, or another environment, are asked for."""
    from tests.support.commands import python
    from tests.support.streams import ROOT, build_in_process

    def run(*flags: str | Path, **extra: str) -> subprocess.CompletedProcess[str]:
        if not extra and "--workers" not in flags:
            return build_in_process(*flags)
        return python("-m", "dataset_builders.streaming_builder", *flags, cwd=ROOT, **extra)

    return run


@pytest.fixture(scope="session")
def small_dataset(build: Builder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished build of SMALL with one worker: what every other way of building must equal."""
    from tests.support.streams import SMALL

    root = tmp_path_factory.mktemp("stream") / "small"
    done = build("--output-dir", root, *SMALL)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="session")
def mixed_dataset(build: Builder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Puzzles with augmentations and demonstrations, stories in short windows, and pictures."""
    root = tmp_path_factory.mktemp("stream") / "mixed"
    done = build(
        "--output-dir", root, "--sources", "kaggle/combined", "stories",
        "--limits", "stories=60", "kaggle/combined=40", "pictures=150", "--pictures", "builtin", "--picture-side", "16",
        "--augment", "--augmentations", "8", "--test-share", "0.1", "--weights", "kaggle/combined=1.5",
        "--text-window", "64", "--demonstrations", "3", "--batch-records", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model `held.yaml` whose builder waits in front of its second training chunk."""
    from tests.support.held_builder import prepare_folder

    return prepare_folder(tmp_path)
