"""What trm says about a run is worth less than the run: a reader that leaves, or a full disk, does not end it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.boards import write_boards
from tests.support.runs import TINY_RUN, records

ROOT = Path(__file__).resolve().parents[2]
SPEAK = """
from trm_cli.console.output import note, stderr
from trm_cli.console.streams import prepare_streams
prepare_streams()
note("a line")
with stderr().status("work"):
    note("a longer line" * 1000)
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_lines_that_the_disk_does_not_take_are_lost_and_nothing_else() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", SPEAK], cwd=ROOT, stderr=full)
    assert done.returncode == 0


def test_lines_come_again_once_the_disk_takes_them(tmp_path: Path) -> None:
    code = f"""
import resource
{SPEAK}
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
note("lost")
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
note("the last line")
"""
    with (tmp_path / "log").open("w") as log:
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stderr=log)
    assert done.returncode == 0
    assert (tmp_path / "log").read_text().endswith("the last line\n")


def test_a_run_outlives_the_reader_of_its_lines(tmp_path: Path) -> None:
    write_boards(tmp_path / "data")
    words = [f"data_paths=[{tmp_path / 'data'}]", f"checkpoint_path={tmp_path / 'run'}", *TINY_RUN]
    process = subprocess.Popen(
        [sys.executable, "-m", "trm_cli", "train", "sudoku-4x4", *words],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None and process.stderr.readline()
    process.stderr.close()
    assert process.wait() == 0
    assert records(tmp_path / "run", "train")[-1]["step"] == 30
    assert (tmp_path / "run/latest.pt").resolve().name == "step_00000030.pt"
