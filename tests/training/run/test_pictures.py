"""A run whose batches hold pictures: a field that not every stream has."""

from __future__ import annotations

from pathlib import Path

from tests.support.commands import trm
from tests.support.streams import build_in_process


def test_a_run_on_pictures_continues(tmp_path: Path) -> None:
    built = build_in_process(
        "--output-dir", tmp_path / "data", "--sources", "shapes", "--limits", "shapes=80", "--test-share", "0.2"
    )
    assert built.returncode == 0, built.stderr
    line = ["train", "unified-mini", "data_paths=[data]", "checkpoint_path=run", "global_batch_size=4", "epochs=1"]
    line += ["threads=1", "--device", "cpu", "--wandb", "disabled"]
    begun = trm(*line, "--stop-at-step", "1", cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    ended = trm(*line, "--stop-at-step", "2", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "run" / "step_00000002.pt").is_file()
