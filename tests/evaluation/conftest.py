"""Settings of the property tests of this folder, and a trained run that several of them evaluate."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dataset_builders import streaming_builder
from tests.training.conftest import write_boards
from tests.training.runs import train

torch.set_num_threads(1)

#: Enough to be right about some of the boards and wrong about others.
LEARNS = ("epochs=40", "eval_interval=20", "arch.hidden_size=32", "lr=3e-3", "ema_rate=0.9", "optimizer=adamw")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with boards in `data` and a run on them in `run`."""
    folder = tmp_path_factory.mktemp("trained")
    write_boards(folder / "data", test=60)
    train(folder / "data", folder / "run", *LEARNS)
    return folder


@pytest.fixture
def canvases(tmp_path: Path) -> Path:
    """A stream dataset of ARC pairs and stories."""
    root = tmp_path / "canvases"
    flags = ["--sources", "kaggle/combined", "stories", "--limits", "stories=60", "kaggle/combined=12"]
    assert streaming_builder.main(["--output-dir", str(root), *flags, "--test-share", "0.1", "--workers", "1"]) == 0
    return root
