"""Sources and outputs under addresses of fsspec: `memory://` in this process, `file://` for whole commands."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import pytest

from dataset_builders.streaming_builder import main as build_stream
from dataset_builders.text import main as build_text
from tests.support.commands import trm
from trm_cli.addresses import local_location
from trm_cli.data.files import remote
from trm_cli.data.files.manifest import MANIFEST_NAME, verify
from trm_cli.data.files.remote import RemoteFolder
from trm_cli.data.files.remote_dataset import fetch
from trm_cli.errors import DatasetError, UsageError

TEXTS = [f"document {number}: the cat sat on mat {number * number}" for number in range(40)]
SOURCE, OUTPUT = "memory://bucket/texts.jsonl", "memory://bucket/built"


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty store with one source, and an empty folder for copies."""
    monkeypatch.setenv("TRM_CACHE", str(tmp_path / "copies"))
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/bucket/texts.jsonl", "\n".join(json.dumps({"text": text}) for text in TEXTS).encode())
    yield memory
    memory.rm("/bucket", recursive=True)


def build(*flags: str, source: str = SOURCE, output: str = OUTPUT) -> int:
    return build_text(["--output-dir", output, "--source", source, "--seq-len", "32", "--test-share", "0.3", *flags])


def hang_up_late(server: socket.socket) -> None:
    """Take every connection, say nothing for half a second, close it."""
    with suppress(OSError):
        while True:
            connection, _ = server.accept()
            time.sleep(0.5)
            connection.close()


def forget(store: Any) -> None:
    """Leave only what lies in the store: as on another machine."""
    shutil.rmtree(local_location(OUTPUT))
    store.invalidate_cache()


def test_a_dataset_is_built_from_an_address_to_an_address(store: Any, tmp_path: Path) -> None:
    own = tmp_path / "texts.jsonl"
    own.write_bytes(store.cat_file("/bucket/texts.jsonl"))
    assert build(source=str(own), output=str(tmp_path / "here")) == 0
    assert build() == 0
    files = {path.relative_to(tmp_path / "here").as_posix() for path in (tmp_path / "here").rglob("*.*")} - {".lock"}
    assert {path.removeprefix("/bucket/built/") for path in store.find("/bucket/built")} == files
    for name in files - {MANIFEST_NAME}:
        assert store.cat_file(f"/bucket/built/{name}") == (tmp_path / "here" / name).read_bytes()
    manifest = json.loads(store.cat_file("/bucket/built/manifest.json"))
    assert manifest["source"]["locations"] == [SOURCE]
    forget(store)
    assert fetch(OUTPUT, print)
    assert verify(local_location(OUTPUT)) == []


def test_what_is_complete_is_taken_over(store: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert build() == 0
    before = store.cat_file("/bucket/built/manifest.json")
    forget(store)
    assert build() == 0
    assert "nothing to do" in capsys.readouterr().err
    assert build("--text-field", "text") != 0
    assert "other settings" in capsys.readouterr().err
    assert store.cat_file("/bucket/built/manifest.json") == before
    assert build("--text-field", "text", "--rebuild") == 0
    assert store.cat_file("/bucket/built/manifest.json") != before


def test_an_interrupted_transfer_is_no_dataset_and_goes_on(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    put = RemoteFolder.put

    def breaks(self: RemoteFolder, source: Path, name: str) -> None:
        if name.startswith("train/"):
            raise DatasetError("the line was cut")
        put(self, source, name)

    with monkeypatch.context() as cut:
        cut.setattr(RemoteFolder, "put", breaks)
        assert build() != 0
    assert not fetch(OUTPUT, print), "it is there in part, and says so"
    assert build() == 0
    forget(store)
    assert fetch(OUTPUT, print)
    forget(store)
    damaged = next(path for path in store.find("/bucket/built/train") if path.endswith(".npy"))
    store.pipe_file(damaged, store.cat_file(damaged)[:-1] + b"?")
    with pytest.raises(DatasetError, match="is damaged"):
        fetch(OUTPUT, print)
    assert not Path(local_location(OUTPUT), MANIFEST_NAME).exists()


def test_files_of_another_program_are_left_alone(store: Any, capsys: pytest.CaptureFixture[str]) -> None:
    store.pipe_file("/bucket/built/holiday.jpg", b"sun")
    assert build("--rebuild") != 0
    assert "another program" in capsys.readouterr().err
    assert store.find("/bucket/built") == ["/bucket/built/holiday.jpg"]


def test_a_source_is_copied_once_a_version(store: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from dataset_builders.lib.source_files import _copy, source_path

    store.pipe_file("/bucket/folder/a/one.txt", b"one")
    store.pipe_file("/bucket/folder/two.txt", b"two")
    folder = source_path("memory://bucket/folder/")
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.txt")) == ["a/one.txt", "two.txt"]
    capsys.readouterr()
    _copy.cache_clear()
    assert source_path("memory://bucket/folder") == folder and not capsys.readouterr().err
    store.pipe_file("/bucket/folder/two.txt", b"2")
    _copy.cache_clear()
    assert (source_path("memory://bucket/folder") / "two.txt").read_bytes() == b"2"
    with pytest.raises(DatasetError, match="does not exist"):
        source_path("memory://bucket/nothing")


@pytest.mark.slow  # a stream is written by processes of its own
def test_a_stream_names_the_address_of_its_source(store: Any) -> None:
    flags = ["--output-dir", OUTPUT, "--sources", f"text:{SOURCE}", "--test-share", "0.3"]
    assert build_stream(flags) == 0
    manifest = json.loads(store.cat_file("/bucket/built/manifest.json"))
    assert [source["location"] for source in manifest["source"]["sources"]] == [SOURCE]


def test_what_nothing_serves_is_said_with_the_next_step() -> None:
    with pytest.raises(UsageError, match="s3:// needs the package s3fs") as caught:
        RemoteFolder.open("s3://bucket/data")
    assert caught.value.hint == "pip install s3fs"
    with pytest.raises(UsageError, match="sftp:// needs the package paramiko") as caught:  # which fsspec imports
        RemoteFolder.open("sftp://host/data")
    assert caught.value.hint == "pip install paramiko"
    with pytest.raises(UsageError, match="needs the package smbprotocol"):
        RemoteFolder.open("smb://host/data")
    with pytest.raises(UsageError, match=r"zip://a\.csv::sftp://host/data needs the package paramiko"):
        RemoteFolder.open("zip://a.csv::sftp://host/data")
    with pytest.raises(UsageError, match="no file system is known for s33://") as caught:
        RemoteFolder.open("s33://bucket/data")
    assert caught.value.hint == "did you mean s3://?"


@pytest.mark.parametrize(
    ("refusal", "hint"),
    [
        (FileNotFoundError("The specified bucket does not exist"), "a bucket is made before anything is written to it"),
        (PermissionError("Forbidden"), "check the credentials"),
        (ConnectionError("nobody listens"), "check the connection"),
    ],
)
def test_what_a_store_refuses_is_said_with_the_next_step(
    store: Any, refusal: OSError, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise refusal

    folder = RemoteFolder.open(OUTPUT)
    for method, asked in (("find", folder.listing), ("pipe_file", lambda: folder.write("manifest.json", b""))):
        with monkeypatch.context() as cut, pytest.raises(DatasetError, match=f"{OUTPUT}: .*{refusal}") as caught:
            cut.setattr(type(store), method, refuse)
            asked()
        assert caught.value.hint is not None and hint in caught.value.hint


@pytest.mark.slow
def test_a_store_that_says_nothing_is_told_of_while_it_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(remote, "_FIRST_NOTICE", 0.1)
    monkeypatch.setattr(remote, "_NEXT_NOTICE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"ftp://127.0.0.1:{server.getsockname()[1]}/boards"
        threading.Thread(target=hang_up_late, args=(server,), daemon=True).start()
        with pytest.raises(DatasetError, match=r"boards: EOFError$"):
            RemoteFolder.open(address)
    told = [record.getMessage() for record in caplog.records if record.name == remote.__name__]
    assert len(told) >= 2
    assert all(line.startswith(f"waiting for {address}, ") for line in told)
    monkeypatch.setattr(remote, "_FIRST_NOTICE", 60.0)
    caplog.clear()
    assert RemoteFolder.open(SOURCE).read("") is not None
    assert not caplog.records


def test_commands_build_inspect_and_train_under_an_address(tmp_path: Path) -> None:
    address = (tmp_path / "bucket" / "boards").as_uri()
    words = ("sudoku-4x4", f"dataset_args.output_dir={address}", "dataset_args.train=40", "dataset_args.test=8")
    built = trm("build-dataset", *words)
    assert built.returncode == 0, built.stderr
    assert f"{address} is complete" in built.stderr
    assert (tmp_path / "bucket" / "boards" / MANIFEST_NAME).is_file()
    looked = trm("inspect-dataset", address, "--verify")
    assert looked.returncode == 0, looked.stderr
    run = f"checkpoint_path={tmp_path / 'run'}"
    trained = trm("train", *words, run, "epochs=1", "eval_interval=1", "--stop-at-step", "1")
    assert trained.returncode == 0, trained.stderr
    assert str(tmp_path / "copies") in (tmp_path / "run" / "config.yaml").read_text()
