"""Where nothing can be written, no home, no temporary folder, no compiler: one message each, or the work goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.boards import write_boards
from tests.support.runs import train
from tests.support.streams import ROOT, environment

CANNOT = "Read-only file system"
CASES: dict[str, tuple[int, str]] = {
    "doctor": (0, "searching for devices"),
    "configs validate": (0, ""),
    "inspect-schedule run": (0, ""),
    "inspect-schedule run --out plan.png": (1, CANNOT),
    "inspect-dataset data --show 1 --out s.png": (1, f"s.png cannot be written: {CANNOT}"),
    "train sudoku-4x4 checkpoint_path=new data_paths=[data] device=cpu threads=1": (4, f"write to new: {CANNOT}"),
    "train sudoku-4x4 checkpoint_path=new data_paths=[data] device=cpu --dry-run": (4, f"write to new: {CANNOT}"),
    "resume run": (4, f"cannot write to run: {CANNOT}"),
    "evaluate run": (1, CANNOT),
    "report run": (1, f"run/report.html cannot be written: {CANNOT}"),
    "solve run 1....2....3....4": (5, ""),  # trained for two epochs: not solved
    "checkpoints verify run": (0, ""),
    "checkpoints prune run": (4, CANNOT),
    "checkpoints export run --out w.pt": (1, CANNOT),
    "build-dataset sudoku-6x6": (3, CANNOT),
}
COMMANDS = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from trm_cli.app import main

results = {}
for line in json.loads(sys.argv[1]):
    output, errors, code = io.StringIO(), io.StringIO(), 0
    sys.argv = ["trm", *line.split()]
    try:
        with redirect_stdout(output), redirect_stderr(errors):
            main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    results[line] = code, errors.getvalue()
print(json.dumps(results))
"""


def read_only(*folders: Path) -> list[str]:
    """The beginning of a command line that runs the rest where these folders cannot be written."""
    mounts = " && ".join(f"mount --bind '{one}' '{one}' && mount -o remount,ro,bind '{one}'" for one in folders)
    return ["unshare", "-m", "sh", "-c", f'{mounts} && exec "$@"', "sh"]


def can_mount(folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*read_only(folder), "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_every_command_where_nothing_can_be_written(tmp_path: Path) -> None:
    if not can_mount(tmp_path):
        pytest.skip("this user may not mount anything")
    write_boards(tmp_path / "data")
    train(tmp_path / "data", tmp_path / "run", "epochs=2", stop_at_step=2)
    env = {**environment(), "HOME": "/nonexistent", "TMPDIR": str(tmp_path), "PATH": os.defpath, "HF_HUB_OFFLINE": "1"}
    here = ["env", "-C", str(tmp_path), f"PYTHONPATH={ROOT}", sys.executable, "-c", COMMANDS, json.dumps(list(CASES))]
    done = subprocess.run(
        [*read_only(tmp_path, ROOT, Path("/tmp"), Path("/var/tmp")), *here],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for line, (code, message) in CASES.items():
        assert found[line][0] == code, (line, found[line])
        assert message in found[line][1], (line, found[line])
        assert "Traceback" not in found[line][1], line
        assert "free some" not in found[line][1], (line, "nothing is full")
