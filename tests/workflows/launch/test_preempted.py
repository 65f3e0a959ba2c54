"""A job of `trm launch slurm` that is pre-empted and queued again ends like one that was never stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.boards import write_boards
from tests.support.runs import TINY_RUN, differing, records
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint
from trm_cli.workflows.launch.job import Job
from trm_cli.workflows.launch.slurm import batch_script

ROOT = Path(__file__).resolve().parents[3]
#: Stand-ins: srun becomes what it starts, scancel signals that, scontrol notes what it was asked.
_PROGRAMS = {
    "srun": 'echo $$ > "$QUEUE.pid"\nexec "$@"',
    "scancel": 'echo "$@" >> "$QUEUE"; kill -TERM "$(cat "$QUEUE.pid")"',
    "scontrol": 'echo "$@" >> "$QUEUE"',
    "trm": f'exec "{sys.executable}" -m trm_cli "$@"',
}


def _words(folder: Path, run: str) -> list[str]:
    data = f"data_paths=[{folder / 'data'}]"
    return ["train", "sudoku-4x4", data, *TINY_RUN, "epochs=60", f"checkpoint_path={folder / run}"]


def _steps(run: Path) -> int:
    return len(records(run, "train")) if (run / "metrics.jsonl").exists() else 0


def _same(folder: Path) -> None:
    assert (folder / "whole/metrics.jsonl").read_bytes() == (folder / "run/metrics.jsonl").read_bytes()
    left, right = (load_checkpoint((folder / name / "latest.pt").resolve())[0] for name in ("whole", "run"))
    assert differing(left, right) == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset, a run that is never stopped, and a `trm` on the path of a job."""
    write_boards(tmp_path / "data")
    for name, script in _PROGRAMS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    line = [sys.executable, "-m", "trm_cli", *_words(tmp_path, "whole")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    whole = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert whole.returncode == 0, whole.stderr
    return tmp_path


@pytest.mark.slow
def test_under_stand_ins(folder: Path) -> None:
    job = Job("tiny", _words(folder, "run"), nodes=1, gpus=0, folder=folder)
    (folder / "job.sh").write_text(batch_script(job))
    environment = {
        **os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "SLURM_JOB_ID": "4711",
        "QUEUE": str(folder / "queue"),
    }  # fmt: skip
    codes = []
    for number, more in ((signal.SIGUSR1, 40), (signal.SIGTERM, 80), (None, None)):
        before = _steps(folder / "run")
        process = subprocess.Popen(["bash", "job.sh"], env=environment, cwd=folder, stderr=subprocess.DEVNULL)
        if number is not None and more is not None:
            while process.poll() is None and _steps(folder / "run") < before + more:
                time.sleep(0.02)
            process.send_signal(number)
        codes.append(process.wait(600))
    assert codes == [75, 75, 0]
    assert (folder / "queue").read_text().splitlines() == ["--signal=TERM 4711", "requeue 4711"] * 2
    _same(folder)


@pytest.mark.slow
def test_under_slurm(folder: Path) -> None:
    """Where there is a cluster: a real job, pre-empted twice by `scancel --signal=USR1 --batch`."""
    if shutil.which("sinfo") is None or subprocess.run(["sinfo", "--noheader"], capture_output=True).returncode:
        pytest.skip("no SLURM here")
    program = (sys.executable, "-m", "trm_cli")
    job = Job("tiny", _words(folder, "run"), nodes=1, gpus=0, folder=folder, program=program)
    (folder / "job.sh").write_text(batch_script(job))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = ["sbatch", "--parsable", "job.sh"]
    number = subprocess.run(
        line, cwd=folder, env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()
    for more in (60, 160, None):
        while (state := _state(number)) and (more is None or _steps(folder / "run") < more):
            if state == "PENDING":  # SLURM waits two minutes before it starts a job again
                subprocess.run(["scontrol", "update", f"jobid={number}", "StartTime=now"], check=False)
            time.sleep(0.2)
        if more is not None:
            subprocess.run(["scancel", "--signal=USR1", "--batch", number], check=True)
            while _state(number) == "RUNNING":
                time.sleep(0.1)
    assert (folder / f"slurm-{number}.out").read_text().count("Stopped after step") == 2
    _same(folder)


def _state(job: str) -> str:
    """The state of a job; "" once it is gone."""
    return subprocess.run(["squeue", "--noheader", "--jobs", job, "--format=%T"], capture_output=True, text=True,
                          check=False).stdout.strip()  # fmt: skip
