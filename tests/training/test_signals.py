"""Signals before the first update, and the second Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.boards import write_boards
from tests.support.runs import TINY_RUN
from trm_cli.training.signals import StopRequest, starting

ROOT = Path(__file__).resolve().parents[2]
STUBBORN = """
import time
from trm_cli.training.signals import StopRequest
with StopRequest() as stop:
    print("ready", flush=True)
    while not stop:
        time.sleep(0.01)
    print("asked", flush=True)
    time.sleep(60)
"""


def test_a_second_interrupt_does_not_wait() -> None:
    # Defect 28.
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "asked\n"
        time.sleep(0.1)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


BEFORE_TORCH = """
import os, signal, sys
from trm_cli.workflows.train import train
def carry_out(*arguments):
    os.kill(os.getpid(), signal.SIGUSR1)
    print("alive, without torch:", "torch" not in sys.modules, flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("never here")
train.run_training = carry_out
sys.argv = ["trm", "train", "sudoku-4x4"]
from trm_cli.app import main
main()
"""


def test_a_command_that_has_not_begun_to_train_ends_as_documented() -> None:
    done = subprocess.run([sys.executable, "-c", BEFORE_TORCH], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("alive, without torch: True\n", 75), done.stderr


BEFORE_THE_FIRST_UPDATE = """
import os, signal, sys
from trm_cli.training.run.run import Run
train = Run.train
def asked(*arguments, **named):
    os.kill(os.getpid(), signal.SIGTERM)
    return train(*arguments, **named)
Run.train = asked
from trm_cli.app import main
main()
"""


def test_a_run_that_is_stopped_before_its_first_update_promises_nothing(tmp_path: Path) -> None:
    words = [f"data_paths=[{write_boards(tmp_path / 'data')}]", f"checkpoint_path={tmp_path / 'run'}", *TINY_RUN]
    line = [sys.executable, "-c", BEFORE_THE_FIRST_UPDATE, "train", "sudoku-4x4", *words]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 75, done.stderr
    assert "Stopped before the first checkpoint" in done.stdout
    assert "trm resume" not in done.stderr


WHILE_IMPORTING = """
import builtins, os, signal, sys
from trm_cli.__main__ import main
real = builtins.__import__
def hooked(name, *rest):
    if name == "typer":
        os.kill(os.getpid(), signal.Signals[sys.argv.pop()])
    return real(name, *rest)
builtins.__import__ = hooked
main()
"""


@pytest.mark.parametrize(
    ("words", "code"),
    [("train sudoku-4x4 SIGTERM", 75), ("resume SIGHUP", 75), ("train SIGINT", 130), ("configs list SIGINT", 130)],
)
def test_a_program_that_is_still_being_imported_ends_as_documented(words: str, code: int) -> None:
    line = [sys.executable, "-c", WHILE_IMPORTING, *words.split()]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", code)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_request_to_end_is_not_lost_where_python_drops_the_exit() -> None:
    class Dropping:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

    with starting():
        Dropping()
        with StopRequest() as stop:
            assert stop.exit_code == 75
    with StopRequest() as stop:
        assert not stop
