"""The run of an adaptation is found again by its purpose; its clock counts on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from trm_cli.workflows.adapt.directory import PURPOSE, find_directory
from trm_cli.workflows.adapt.stopwatch import Stopwatch, read_seconds


def test_a_purpose_has_one_directory(tmp_path: Path) -> None:
    first = find_directory(tmp_path, "run", "tasks", {"updates": 1})
    first.write(PURPOSE, {"updates": 1})
    assert (first.path.name, first.begun) == ("run-adapt-tasks", True)
    second = find_directory(tmp_path, "run", "tasks", {"updates": 2})
    assert (second.path.name, second.begun) == ("run-adapt-tasks-2", False)
    second.write(PURPOSE, {"updates": 2})
    assert find_directory(tmp_path, "run", "tasks", {"updates": 1}) == first
    (first.path / PURPOSE).write_text("{")
    assert find_directory(tmp_path, "run", "tasks", {"updates": 1}).path.name == "run-adapt-tasks-3"


def test_progress_is_added_to(tmp_path: Path) -> None:
    home = find_directory(tmp_path, "run", "tasks", {})
    home.note(updates=3)
    home.note(trained=True)
    assert home.read("progress.json") == {"updates": 3, "trained": True}


def test_seconds_of_earlier_processes_count(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    path.write_text(json.dumps({"seconds": 100.0}))
    with Stopwatch(path) as clock:
        assert 100 <= clock.seconds() < 110
    assert 100 <= read_seconds(path) < 110
    path.write_text("{")
    assert read_seconds(path) == 0


def test_loading_a_process_counts(tmp_path: Path) -> None:
    with Stopwatch(tmp_path / "clock.json", loading=40.0) as clock:
        assert 40 <= clock.seconds() < 50
    line = (
        "import time; time.sleep(0.3); from trm_cli.workflows.adapt.stopwatch import process_age; print(process_age())"
    )
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert 0.3 <= float(done.stdout) < 60
