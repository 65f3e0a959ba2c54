"""A place that takes no files is told in one message, with the place and the reason."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import Literal

import pytest

from tests.support.file_systems import refuse
from tests.support.runs import prepare, train
from trm_cli.errors import CheckpointError, ExitCode, TrmError
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


@pytest.mark.parametrize("form", ["safetensors", "original"])
def test_the_file_of_an_export(
    form: Literal["safetensors", "original"], tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(dataset, tmp_path / "run", stop_at_step=5)
    loaded = load_sealed(find_checkpoint(str(tmp_path / "run")))
    with pytest.raises(TrmError, match="cannot write to /dev/null/weights") as refused:
        export_weights(*loaded, Path("/dev/null/weights"), form)
    assert refused.value.exit_code == ExitCode.FAILED
    monkeypatch.setattr(os, "fsync", refuse(errno.ENOSPC))
    with pytest.raises(TrmError, match="No space left on device") as full:
        export_weights(*loaded, tmp_path / "weights", form)
    assert (full.value.exit_code, full.value.hint) == (
        ExitCode.FAILED, "free some disk space, or choose another file"
    )  # fmt: skip
    assert not [path for path in tmp_path.iterdir() if path.is_file()]
