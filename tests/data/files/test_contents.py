"""The content of a dataset is compared with its manifest, and large files are read once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trm_cli.data.files import checked_files, manifest
from trm_cli.data.files.checked_files import MEMORY_NAME
from trm_cli.data.files.manifest import Manifest, check_contents, seal
from trm_cli.errors import DatasetError


@pytest.fixture
def sealed(tmp_path: Path) -> Manifest:
    (tmp_path / "train").mkdir()
    (tmp_path / "train/a.npy").write_bytes(bytes(1000))
    (tmp_path / "names.json").write_text("[]")
    return seal(tmp_path, Manifest("b", {}, 0, {}, "none"), ["train/a.npy", "names.json"], {})


def change_a_byte(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"x")
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("name", ["train/a.npy", "names.json"])
def test_one_changed_byte_is_noticed(tmp_path: Path, sealed: Manifest, name: str) -> None:
    check_contents(tmp_path, "train", sealed)
    change_a_byte(tmp_path / name)
    with pytest.raises(DatasetError, match="is damaged: its SHA-256"):
        check_contents(tmp_path, "train", sealed)


def test_large_files_are_read_once(tmp_path: Path, sealed: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked_files, "WORTH_REMEMBERING", 100)
    read: list[str] = []
    digest = manifest._digest
    monkeypatch.setattr(manifest, "_digest", lambda path: read.append(path.name) or digest(path))
    for _ in range(2):
        check_contents(tmp_path, "train", sealed)
    assert sorted(read) == ["a.npy", "names.json", "names.json"]
    (tmp_path / MEMORY_NAME).write_text("{")  # a torn memory is none
    check_contents(tmp_path, "train", sealed)
    assert read.count("a.npy") == 2
    change_a_byte(tmp_path / "train/a.npy")
    with pytest.raises(DatasetError, match="is damaged"):
        check_contents(tmp_path, "train", sealed)
