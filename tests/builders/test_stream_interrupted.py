"""A build that is killed, sharded or done by several workers gives the bytes of one that is not."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.streams import ROOT, SMALL, build_in_process, command, contents, environment
from trm_cli.data.stream.dataset import open_stream

Builder = Callable[..., subprocess.CompletedProcess[str]]


def build_with_kills(root: Path, workers: int, kills: int, seed: int, wanted: dict[str, str]) -> int:
    """Kill the building process (not its workers) at random moments until `kills` of them have hit it at work.

    A build that ends in between is compared and begun anew. Returns how many builds were compared.
    """
    chance = random.Random(seed)
    flags = command("--output-dir", root, *SMALL, "--workers", str(workers))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    compared = hits = 0
    while hits < kills:
        process = subprocess.Popen(flags, cwd=ROOT, env=environment(), **quiet)
        # The first seconds are imports. Two times of three the kill comes soon after the first file that is new.
        before = len(list(root.rglob("*.pt")))
        if chance.random() < 2 / 3:
            until = time.monotonic() + 20
            while process.poll() is None and time.monotonic() < until and len(list(root.rglob("*.pt"))) == before:
                time.sleep(0.005)
            time.sleep(chance.random() * 0.25)
        else:
            time.sleep(chance.random() * 3.0)
        hits += process.poll() is None
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            assert contents(root) == wanted
            shutil.rmtree(root)
            compared += 1
    done = build_in_process("--output-dir", root, *SMALL)
    assert done.returncode == 0, done.stderr
    assert contents(root) == wanted
    return compared + 1


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_killed_builds_end_with_the_same_bytes(workers: int, small_dataset: Path, tmp_path: Path) -> None:
    build_with_kills(tmp_path / "d", workers, kills=2, seed=workers, wanted=contents(small_dataset))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_twenty_kills_end_with_the_same_bytes(workers: int, small_dataset: Path, tmp_path: Path) -> None:
    compared = build_with_kills(tmp_path / "d", workers, kills=20, seed=100 + workers, wanted=contents(small_dataset))
    assert compared >= 1


@pytest.mark.slow
def test_shards_and_merge_give_the_same_bytes(build: Builder, small_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "d"
    shards = [
        subprocess.Popen(
            command("--output-dir", root, *SMALL, "--workers", "1", "--shard", f"{index}/3"),
            cwd=ROOT,
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in (0, 2)
    ]
    assert build("--output-dir", root, *SMALL, "--shard", "1/3").returncode == 0
    for process in shards:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors
    assert not list(root.rglob("consolidated*"))
    merged = build("--output-dir", root, *SMALL, "--merge")
    assert merged.returncode == 0, merged.stderr
    assert contents(root) == contents(small_dataset)


@pytest.mark.slow
def test_workers_give_the_same_bytes_of_every_kind(build: Builder, tmp_path: Path) -> None:
    flags = ("--sources", "kaggle/combined", "stories", "--limits", "stories=40", "kaggle/combined=10", "pictures=80")
    flags += ("--pictures", "builtin", "--picture-side", "16", "--text-window", "64", "--demonstrations", "2")
    flags += ("--augment", "--augmentations", "4", "--batch-records", "3", "--test-share", "0.1")
    for workers in ("1", "3"):
        done = build("--output-dir", tmp_path / workers, *flags, "--workers", workers)
        assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


def test_merge_before_all_shards_are_done_names_what_is_missing(build: Builder, tmp_path: Path) -> None:
    root = tmp_path / "d"
    assert build("--output-dir", root, *SMALL, "--shard", "0/2").returncode == 0
    # What the other shard is just writing is not this one's to remove.
    written = root / "stream_checkpoints" / ".batch_00001.pt.tmp"
    written.write_bytes(b"half")
    assert build("--output-dir", root, *SMALL, "--shard", "0/2").returncode == 0
    assert written.exists()
    merged = build("--output-dir", root, *SMALL, "--merge")
    assert merged.returncode == 3
    assert "part files are missing" in merged.stderr and "batch_" in merged.stderr


def test_a_damaged_part_is_made_again(build: Builder, small_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "d"
    for index in range(2):
        assert build("--output-dir", root, *SMALL, "--shard", f"{index}/2").returncode == 0
    part = root / "stream_checkpoints" / "batch_00007.pt"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    (root / "stream_checkpoints" / "batch_00011.pt").write_bytes(b"half")
    assert build("--output-dir", root, *SMALL, "--merge").returncode == 0
    assert contents(root) == contents(small_dataset)


def test_a_finished_chunk_that_is_lost_is_built_again(build: Builder, small_dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "d"
    shutil.copytree(small_dataset, root)
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["state"] = "building"
    (root / "manifest.json").write_text(json.dumps(manifest))
    (root / "stream_checkpoints" / "consolidated_001.pt").unlink()
    assert build("--output-dir", root, *SMALL).returncode == 0
    assert contents(root) == contents(small_dataset)


def test_the_last_chunk_is_written_however_few_parts_it_has(small_dataset: Path) -> None:
    # Defect 10: parts beyond the last full hundred were lost.
    data = open_stream(small_dataset, "train", 12)
    assert [chunk.records for chunk in data.store.chunks] == [500, 500, data.facts.total_groups - 1000]
    assert 0 < data.store.chunks[-1].records < 500
    sizes = [len(data.store.shard(number)) for number in range(3)]
    assert sizes == [chunk.records for chunk in data.store.chunks]
