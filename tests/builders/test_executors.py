"""Datasets that are built in parts at once, here or on Ray, and what is said of their parts."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.commands import trm_here
from trm_cli.data.building.build_shards import BuildShard, note_end, shard_states
from trm_cli.data.files.durable import held_directory

ROOT = Path(__file__).parents[2]
#: More parts than shards.
_WORDS = ("sudoku-4x4", "dataset_args.train=900", "dataset_args.test=400", "dataset_args.num_aug=3",
          "dataset_args.materialize=true")  # fmt: skip


def _tree(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def _command(folder: Path, name: str, *more: str) -> list[str]:
    output = f"dataset_args.output_dir={folder / name}"
    return [sys.executable, "-m", "trm_cli", "build-dataset", *_WORDS, output, *more]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def _build(folder: Path, name: str, *more: str) -> None:
    line = _command(folder, name, *more)
    done = subprocess.run(line, cwd=folder, env=_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_state_of_each_part_is_known(tmp_path: Path) -> None:
    assert shard_states(tmp_path) == {}
    first, second, third = (BuildShard(index, 3) for index in range(3))
    note_end(tmp_path, first)
    (tmp_path / second.name).mkdir()
    assert shard_states(tmp_path) == {first: "ended", second: "stopped before its end", third: "not begun"}
    with held_directory(tmp_path / third.name):
        assert shard_states(tmp_path)[third] == f"at work (process {os.getpid()})"


def test_files_that_are_missing_or_damaged_are_named(tmp_path: Path) -> None:
    few = ["dataset_args.train=6", "dataset_args.test=2", "dataset_args.num_aug=0"]
    done = trm_here("build-dataset", "sudoku-4x4", *few, "dataset_args.output_dir=data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(trm_here("inspect-dataset", "data", "--shards", "--json", cwd=tmp_path).stdout)
    assert len(found["shards"]) > 8 and {one["state"] for one in found["shards"]} == {"intact"}
    names = [one["name"] for one in found["shards"] if one["name"].endswith(".npy")]
    (tmp_path / "data" / names[0]).unlink()
    with (tmp_path / "data" / names[1]).open("ab") as file:
        file.write(b"x")
    done = trm_here("inspect-dataset", "data", "--shards", "--json", cwd=tmp_path)
    states = {one["name"]: one["state"] for one in json.loads(done.stdout)["shards"]}
    assert (states[names[0]], states[names[1]], states[names[2]]) == ("missing", "damaged", "intact")
    assert done.returncode == 3


def test_mistakes(tmp_path: Path) -> None:
    for words, said in (
        (["--executor", "local", "--merge"], "leave --rebuild, --shard and --merge out"),
        (["--shards", "2"], "belongs to --executor"),
    ):
        done = trm_here("build-dataset", "sudoku-4x4", *words, cwd=tmp_path)
        assert done.returncode == 2 and said in done.stderr


@pytest.mark.slow
def test_parts_that_are_built_here_at_once_give_the_same_bytes(tmp_path: Path) -> None:
    _build(tmp_path, "plain")
    _build(tmp_path, "parts", "--executor", "local", "--shards", "3")
    assert _tree(tmp_path / "parts") == _tree(tmp_path / "plain")


@pytest.mark.slow
def test_a_worker_of_ray_that_is_killed_changes_no_byte(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    _build(tmp_path, "plain")
    process = subprocess.Popen(
        _command(tmp_path, "parts", "--executor", "ray", "--shards", "3"), cwd=tmp_path, env=_environment(),
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    lock = tmp_path / "parts/.build/shard_1_of_3/.lock"
    while process.poll() is None and not (lock.exists() and lock.read_text().strip()):
        time.sleep(0.01)
    builder = int(lock.read_text())
    worker = _parent(_parent(builder))
    assert "ray::" in Path(f"/proc/{worker}/cmdline").read_text()
    os.kill(worker, signal.SIGKILL)
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    assert errors.count(" is done; ") >= 3
    assert _tree(tmp_path / "parts") == _tree(tmp_path / "plain")


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
