from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from trm_cli.data.files.durable import atomic_file, locked_directory, sha256_file, write_atomically
from trm_cli.data.files.manifest import (
    FileRecord,
    Manifest,
    check_complete,
    read_manifest,
    seal,
    verify,
    write_manifest,
)
from trm_cli.errors import DatasetError

ROOT = Path(__file__).parents[3]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(RuntimeError), atomic_file(path) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_the_order_of_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def logged_fsync(descriptor: int) -> None:
        steps.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "content")
        fsync(descriptor)

    def logged_replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(Path, "replace", logged_replace)
    write_atomically(tmp_path / "file", b"content")
    assert steps == ["content", "rename", "directory"]


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert sha256_file(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_umask_alone_decides_who_may_hold_a_directory(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        with locked_directory(tmp_path / "ours"):
            mode = stat.S_IMODE((tmp_path / "ours/.lock").stat().st_mode)
    finally:
        os.umask(before)
    assert mode == 0o664


HOLDER = """
import sys, time
from trm_cli.data.files.durable import locked_directory
with locked_directory(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_builder_is_refused_and_a_killed_one_does_not_block(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "d")], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            with (
                pytest.raises(DatasetError, match=f"another process .id {holder.pid}"),
                locked_directory(tmp_path / "d"),
            ):
                pass
        finally:
            holder.send_signal(signal.SIGKILL)
    with locked_directory(tmp_path / "d"):
        pass
    with locked_directory(tmp_path / "d"):  # and it is free again after a normal end
        pass


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DatasetError, match="cannot write"), locked_directory(tmp_path / "file" / "d"):
        pass


def manifest(**changes: object) -> Manifest:
    return Manifest(**{"builder": "b", "flags": {"n": 1}, "seed": 0, "source": {}, "licence": "", **changes})


def test_manifest_round_trip_and_damage(tmp_path: Path) -> None:
    assert read_manifest(tmp_path) is None
    write_manifest(tmp_path, manifest())
    with pytest.raises(DatasetError, match="not complete"):
        check_complete(tmp_path, manifest())
    (tmp_path / "a").write_bytes(b"abc")
    sealed = seal(tmp_path, manifest(), ["a"], {"n": 1})
    assert read_manifest(tmp_path) == sealed
    assert sealed.files == {"a": FileRecord(3, sha256_file(tmp_path / "a"))}
    check_complete(tmp_path, sealed)
    assert verify(tmp_path) == []
    (tmp_path / "a").write_bytes(b"abd")
    check_complete(tmp_path, sealed)  # looks at sizes only
    assert verify(tmp_path) == ["a"]
    (tmp_path / "a").write_bytes(b"ab")
    with pytest.raises(DatasetError, match="has 2 bytes where the manifest says 3"):
        check_complete(tmp_path, sealed)
    for damage in (b"", b"{", b"[]", b'{"files": {}}', b"\xff"):
        (tmp_path / "manifest.json").write_bytes(damage)
        with pytest.raises(DatasetError, match=r"manifest\.json.* damaged"):
            read_manifest(tmp_path)
    write_manifest(tmp_path, manifest(format_version=99))
    with pytest.raises(DatasetError, match="newer"):
        read_manifest(tmp_path)


def test_what_a_plan_needs_is_read_without_numpy() -> None:
    program = (
        "import sys, trm_cli.data.files.metadata, trm_cli.data.files.manifest, trm_cli.data.files.durable;"
        "print([m for m in ('numpy', 'torch', 'datasets') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout == "[]\n"
