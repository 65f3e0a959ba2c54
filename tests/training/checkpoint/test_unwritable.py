"""A place that takes no files is told in one message, with the place and the reason."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Literal

import pytest

from tests.support.runs import prepare, train
from trm_cli.errors import CheckpointError
from trm_cli.training.run.find_run import find_checkpoint
from trm_cli.training.run.sealed_config import load_sealed
from trm_cli.training.signals import StopRequest
from trm_cli.training.transfer.exporting import export_weights


def test_a_run_directory(tmp_path: Path, dataset: Path) -> None:
    run, recorder = prepare(dataset, tmp_path / "run")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, hard))
    try:
        with StopRequest() as stop, pytest.raises(CheckpointError, match=r"cannot write to .*run: File too large"):
            run.train(recorder, stop)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_file_of_an_export(tmp_path: Path, dataset: Path) -> None:
    train(dataset, tmp_path / "run", stop_at_step=5)
    forms: tuple[Literal["safetensors", "original"], ...] = ("safetensors", "original")
    loaded = load_sealed(find_checkpoint(str(tmp_path / "run")))
    for form in forms:
        with pytest.raises(CheckpointError, match="cannot write to /dev/null/weights"):
            export_weights(*loaded, Path("/dev/null/weights"), form)
