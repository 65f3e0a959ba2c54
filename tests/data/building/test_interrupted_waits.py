"""A trainer that waits for a chunk of its builder: killed there, and failed there."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.commands import Process, trm
from tests.support.held_builder import until
from tests.support.runs import differing
from trm_cli.data.stream.storage.heartbeat import read_beats
from trm_cli.training.checkpoint.checkpoint_io import load_checkpoint

# The real trainer. It makes a file `waits` when a batch is waited for; the update before that one fails where a file
# `fail the update` is there.
TRAINER = """\
import sys, time
from pathlib import Path
from trm_cli.app import main
from trm_cli.data.stream.storage.store import ChunkStore
from trm_cli.errors import TrmError
from trm_cli.training import loop
from trm_cli.training.run.datasets import TrainBatches

wait, draw, update, drawn = ChunkStore._wait_for, TrainBatches.train_batch, loop.update, set()

def waits(self, chunk):
    Path("waits").touch()
    wait(self, chunk)

def draws(self, step):
    batch = draw(self, step)
    drawn.add(step)
    return batch

def updates(state, *arguments):
    following = state.step + 2
    while following not in drawn and not Path("waits").exists():
        time.sleep(0.01)
    if Path("waits").exists() and Path("fail the update").exists():
        raise TrmError("the update failed")
    return update(state, *arguments)

ChunkStore._wait_for, TrainBatches.train_batch, loop.update = waits, draws, updates
main()
"""


def start(folder: Path) -> Process:
    return Process("-c", TRAINER, "train", "held", cwd=folder)


@pytest.mark.slow
def test_a_trainer_that_is_killed_while_it_waits_goes_on_to_the_same_bits(folder: Path) -> None:
    process = start(folder)
    until((folder / "waits").exists)
    process.send_signal(signal.SIGUSR1)  # a checkpoint of the last step before the wait
    until(lambda: list((folder / "run").glob("step_*.pt")))
    assert process.poll() is None
    process.kill()
    process.communicate()
    (builder,) = (beat.pid for beat in read_beats(folder / "data"))
    os.kill(builder, signal.SIGKILL)
    (folder / "go").touch()
    resumed = trm("resume", "run", cwd=folder)
    assert resumed.returncode == 0, resumed.stderr
    whole = trm("train", "held", "checkpoint_path=whole", cwd=folder)
    assert whole.returncode == 0, whole.stderr
    assert (folder / "run/metrics.jsonl").read_bytes() == (folder / "whole/metrics.jsonl").read_bytes()
    left, right = (load_checkpoint((folder / run / "latest.pt").resolve())[0] for run in ("run", "whole"))
    assert differing(left, right) == []


@pytest.mark.slow
def test_an_error_does_not_wait_for_the_chunk_of_the_next_batch(folder: Path) -> None:
    (folder / "fail the update").touch()
    with start(folder) as process:
        try:
            _, errors = process.communicate(timeout=100)
        finally:
            process.kill()
            (folder / "go").touch()  # or its builder would be left behind
    assert process.returncode == 1, errors
    assert "the update failed" in errors and "stopped the builder of data" in errors
