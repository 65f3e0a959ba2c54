"""A connection that drops (SIGHUP) saves and ends a run as SIGTERM does, unless `nohup` said to ignore it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.boards import write_boards
from tests.support.runs import TINY_RUN
from tests.support.streams import environment
from trm_cli.training.checkpoint.store import CheckpointStore

ROOT = Path(__file__).resolve().parents[2]

ASKED = """
import os, signal, sys
from trm_cli.training.signals import StopRequest, starting
if "nohup" in sys.argv:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
with StopRequest() as stop:
    os.kill(os.getpid(), signal.SIGHUP)
    print("asked", int(stop.exit_code or 0), flush=True)
with starting():
    os.kill(os.getpid(), signal.SIGHUP)
print("goes on", flush=True)
"""


@pytest.mark.parametrize(("words", "output", "code"), [([], "asked 75\n", 75), (["nohup"], "asked 0\ngoes on\n", 0)])
def test_a_hangup_is_a_request_to_end_unless_it_is_ignored(words: list[str], output: str, code: int) -> None:
    done = subprocess.run([sys.executable, "-c", ASKED, *words], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == (output, code), done.stderr


def test_a_run_whose_terminal_is_gone_has_saved_its_last_step(tmp_path: Path) -> None:
    data, run = write_boards(tmp_path / "data"), tmp_path / "run"
    settings = (f"data_paths=[{data}]", f"checkpoint_path={run}", *TINY_RUN, "epochs=4000", "log_interval=1")
    settings += ("eval_interval=4000", "checkpoint_interval=4000")
    line = [sys.executable, "-m", "trm_cli", "train", "sudoku-4x4", "arch=trm_quickstart", *settings]
    child, terminal = pty.fork()
    if not child:
        os.chdir(ROOT)
        os.execve(sys.executable, line, environment())
    until = time.monotonic() + 120
    os.set_blocking(terminal, False)
    while time.monotonic() < until and not _records(run):
        try:
            os.read(terminal, 65536)
        except (BlockingIOError, OSError):
            time.sleep(0.02)
    os.close(terminal)  # the system sends SIGHUP
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 75
    assert CheckpointStore(run).steps() == [_records(run)]


def _records(run: Path) -> int:
    metrics = run / "metrics.jsonl"
    return len(metrics.read_bytes().splitlines()) if metrics.exists() else 0
