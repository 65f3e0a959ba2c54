"""A run in two processes that fails: told once, whoever fails and however, and nothing half-written is left."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from tests.support.boards import write_boards
from tests.support.commands import Process, python
from tests.training.distributed.launching import ROOT, words
from trm_cli.training.checkpoint.store import CheckpointStore


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("exchange", 1, "error: lost contact with another process of this run: NCCL error: unhandled system error"),
        pytest.param("data", 3, "error: its rows are gone", marks=pytest.mark.slow),
        pytest.param("silence", 1, "error: lost contact with another process of this run", marks=pytest.mark.slow),
        ("data of both", 3, "error: its rows are gone"),
        pytest.param("mistake", 1, "ValueError: a mistake of ours", marks=pytest.mark.slow),
    ],
)
def test_a_failure_is_told_once(how: str, code: int, said: str, tmp_path: Path) -> None:
    write_boards(tmp_path / "data", identifiers=5)
    done = python(ROOT / "tests/training/distributed/failing_rank.py", how, *words(tmp_path, "run"))
    assert done.returncode == code, done.stderr
    (told,) = [line for line in done.stderr.splitlines() if re.match(r".*\w*[eE]rror: ", line)]
    assert said in told
    assert ("Traceback" in done.stderr) is (how == "mistake")
    assert CheckpointStore(tmp_path / "run").steps() == [5]
    assert not list((tmp_path / "run").glob(".*.tmp"))


def test_processes_with_different_configurations_do_not_begin(tmp_path: Path) -> None:
    write_boards(tmp_path / "data", identifiers=5)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ranks = []
    for rank, seed in enumerate(("seed=1", "seed=2")):
        place = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        ranks.append(Process("-m", "trm_cli", *words(tmp_path, "run", seed), **place))
    said = [process.communicate(timeout=120)[1] for process in ranks]
    assert [process.returncode for process in ranks] == [2, 2], said
    assert "different configurations: seed" in "".join(said)
    assert not list((tmp_path / "run").glob("*.pt"))
