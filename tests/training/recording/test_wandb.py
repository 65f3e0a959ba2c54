"""The real wandb, without an account: against a server on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.wandb_server import wandb_server

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent

#: One part of a run: its steps, as the program logs them.
PART = """
import sys
from pathlib import Path
from trm_cli.config.compose import compose
from trm_cli.training.recording.wandb_logger import WandbLogger, wandb_mode
mode, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
logger = WandbLogger(compose("sudoku-4x4").config, wandb_mode(mode), "abc12345", Path("a run"), print)
for step in range(first, last + 1):
    logger.write(step, {"kind": "train", "step": step, "loss": 1 / step})
logger.write(last, {"kind": "eval", "step": last, "exact_accuracy": last / 10})
logger.close()
"""


def run(*words: object, cwd: Path, **extra: str) -> str:
    own = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    line = [str(word) for word in words]
    done = subprocess.run(line, cwd=cwd, env={**own, "PYTHONPATH": str(ROOT), **extra}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_parts_of_a_run_that_was_resumed_offline_become_one_run(tmp_path: Path) -> None:
    for first, last in ((1, 4), (5, 7)):
        said = run(sys.executable, "-c", PART, "offline", first, last, cwd=tmp_path)
    assert len(list((tmp_path / "a run/wandb").glob("offline-run-*-abc12345"))) == 2
    command = said.removeprefix("to upload this run to Weights & Biases: wandb ")
    with wandb_server() as received:
        account = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": received.address}
        run("sh", "-c", f"{BIN / 'wandb'} {command}", cwd=tmp_path, **account)
        assert (list(received.runs), received.complete) == (["abc12345"], {"abc12345": True})
        history = received.history("abc12345")
    steps = list(range(1, 8))
    assert [record["step"] for record in history] == [record["_step"] for record in history] == steps
    assert [record["train/loss"] for record in history] == [1 / step for step in steps]
    assert {record["step"]: record["eval/exact_accuracy"] for record in history if "eval/exact_accuracy" in record} == {
        4: 0.4,
        7: 0.7,
    }


@pytest.mark.slow
def test_a_key_for_the_host_in_use_and_the_names_of_the_environment(tmp_path: Path) -> None:
    named = {"PROJECT": "puzzles", "NAME": "the first", "TAGS": "small,fast", "NOTES": "why", "RUN_GROUP": "group"}
    with wandb_server() as received:
        netrc = tmp_path / "netrc"
        netrc.write_text(f"machine {urlsplit(received.address).netloc}\n  login user\n  password {'0' * 40}\n")
        netrc.chmod(0o600)
        extra = {"NETRC": str(netrc), "WANDB_BASE_URL": received.address}
        extra |= {f"WANDB_{name}": value for name, value in named.items()}
        run(sys.executable, "-c", PART, "auto", 1, 3, cwd=tmp_path, **extra)
        said, history = received.runs["abc12345"], received.history("abc12345")
    assert [said[name] for name in ("project", "displayName", "tags", "notes", "groupName")] == [
        "puzzles", "the first", ["small", "fast"], "why", "group",
    ]  # fmt: skip
    assert [record["train/loss"] for record in history] == [1, 1 / 2, 1 / 3]
