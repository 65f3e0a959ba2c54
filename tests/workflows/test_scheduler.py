"""The job script of docs/long_runs.md under a stand-in for the scheduler: signalled and requeued until it is done."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.boards import write_boards
from tests.support.runs import TINY_RUN, differing, records
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "long_runs.md").read_text(encoding="utf-8")


def job_script(command: str) -> str:
    """The script of the page, with the command of a tiny run in the place of its own."""
    (script,) = re.findall(r"```bash\n(#!/bin/bash\n.*?)```", PAGE, re.DOTALL)
    script, count = re.subn(r"^trm train .* &$", f"{command} &", script, flags=re.MULTILINE)
    assert count == 1
    return str(script)


def steps_done(run: Path) -> int:
    return len(records(run, "train")) if (run / "metrics.jsonl").exists() else 0


@pytest.mark.slow
def test_a_run_that_is_requeued_ends_like_one_that_was_never_stopped(tmp_path: Path) -> None:
    write_boards(tmp_path / "data")
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    (bin_directory / "scontrol").write_text('#!/bin/bash\necho "$@" >> "$QUEUE"\n')
    (bin_directory / "trm").write_text(f'#!/bin/bash\nexec "{sys.executable}" -m trm_cli "$@"\n')
    for path in bin_directory.iterdir():
        path.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{bin_directory}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "QUEUE": str(tmp_path / "queue"),
        "SLURM_JOB_ID": "4711",
    }
    words = ["train", "sudoku-4x4", f"data_paths=[{tmp_path / 'data'}]", *TINY_RUN, "epochs=60"]
    whole = subprocess.run(
        [str(bin_directory / "trm"), *words, f"checkpoint_path={tmp_path / 'whole'}"],
        env=environment, cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert whole.returncode == 0, whole.stderr
    run = tmp_path / "run"
    (tmp_path / "job.sh").write_text(job_script(f"trm {' '.join(words)} checkpoint_path={run}"))
    codes = []
    for more in (40, 80, None):  # two rounds that the scheduler ends, and one that it lets finish
        before = steps_done(run)
        job = subprocess.Popen(["bash", "job.sh"], env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL)
        if more is not None:
            while job.poll() is None and steps_done(run) < before + more:
                time.sleep(0.02)
            job.send_signal(signal.SIGUSR1)
            job.send_signal(signal.SIGTERM)
        codes.append(job.wait(120))
    assert codes == [75, 75, 0]
    assert (tmp_path / "queue").read_text().splitlines() == ["requeue 4711"] * 2
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()
    left, right = (load_checkpoint((tmp_path / name / "latest.pt").resolve())[0] for name in ("whole", "run"))
    assert differing(left, right) == []
