"""Shard files are read by position: only what is asked for, and never what is not whole."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from trm_cli.data.stream.records import GRID, PICTURE, TEXT, Record
from trm_cli.data.stream.storage.shard_file import DTYPES, RecordShard, ShardFile
from trm_cli.data.stream.storage.shards import join, pack, read_arrays, to_bytes
from trm_cli.errors import DatasetError

RECORDS = [
    Record(TEXT, b"once upon a time", flags=3),
    Record(GRID, bytes([1, 2, 3, 4, 9, 0]), source=1, group=7, place=2, shape=(2, 2, 1, 2)),
    Record(PICTURE, bytes(range(12)), source=2, label=5),
    Record(TEXT, b"", flags=4),
    Record(GRID, bytes([0, 1]), source=1, group=8, shape=(1, 1, 1, 1)),
]


def write(path: Path, records: list[Record] | None = None, first: int = 30) -> Path:
    path.write_bytes(to_bytes(pack(RECORDS if records is None else records, first, 12)))
    return path


def records_of(shard: RecordShard) -> list[Record]:
    everything = np.arange(len(shard))
    return [
        Record(
            int(shard.kind[row]),
            payload,
            int(shard.source[row]),
            int(shard.group[row]),
            int(shard.place[row]),
            tuple(shard.shape[row].tolist()),
            int(shard.flags[row]),
            int(shard.label[row]),
        )
        for row, payload in zip(everything, shard.payloads(everything), strict=True)
    ]


def test_records_come_back_in_any_order(tmp_path: Path) -> None:
    shard = RecordShard(ShardFile(write(tmp_path / "a.pt")))
    assert records_of(shard) == RECORDS and shard.first == 30
    assert shard.payloads(np.array([4, 0])) == [RECORDS[4].payload, RECORDS[0].payload]


@pytest.mark.parametrize("kind", [GRID, TEXT, PICTURE])
def test_a_shard_of_one_kind_has_empty_tensors(tmp_path: Path, kind: int) -> None:
    records = [record for record in RECORDS if record.kind == kind]
    assert records_of(RecordShard(ShardFile(write(tmp_path / "a.pt", records)))) == records


def test_torch_reads_the_same_tensors(tmp_path: Path) -> None:
    tensors = torch.load(write(tmp_path / "a.pt"), weights_only=True)
    arrays = read_arrays(tmp_path / "a.pt")
    assert list(tensors) == [*DTYPES, "checksum"]
    for name, values in arrays.items():
        assert np.array_equal(tensors[name].numpy(), values) and tensors[name].numpy().dtype == values.dtype


def test_parts_are_joined_to_what_one_would_have_been(tmp_path: Path) -> None:
    parts = [read_arrays(write(tmp_path / "a.pt", RECORDS[:2])), read_arrays(write(tmp_path / "b.pt", RECORDS[2:], 32))]
    assert to_bytes(join(parts)) == write(tmp_path / "c.pt").read_bytes()


def test_a_file_that_is_cut_or_written_to_under_a_reader_is_a_message(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt")
    shard = RecordShard(ShardFile(path))
    os.truncate(path, 100)
    with pytest.raises(DatasetError, match=r"a\.pt was changed while it was in use"):
        shard.payloads(np.array([0]))
    path = write(tmp_path / "b.pt")
    shard = RecordShard(ShardFile(path))
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    os.utime(path, ns=(0, 0))
    with pytest.raises(DatasetError, match=r"b\.pt was changed while it was in use"):
        shard.payloads(np.array([0]))


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "few", "compressed"])
def test_what_is_no_shard_is_named(tmp_path: Path, damage: str) -> None:
    path = write(tmp_path / "a.pt")
    content = path.read_bytes()
    if damage == "few":
        torch.save({"kind": torch.zeros(3)}, path)
    elif damage == "compressed":
        import zipfile

        with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "b.pt", "w", zipfile.ZIP_DEFLATED) as new:
            for entry in old.infolist():
                new.writestr(entry.filename, old.read(entry))
        path = tmp_path / "b.pt"
    else:
        path.write_bytes({"cut": content[:-100], "empty": b"", "text": b"x" * len(content)}[damage])
    with pytest.raises(DatasetError, match=rf"{path.name} is damaged"):
        ShardFile(path)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("kind", [1, 0, 3, 1, 0]),
        ("kind", [1, 0, 2, 1, 1]),
        ("text_length", [17, 0]),
        ("text_length", [-1, 17]),
        ("shape", [[2, 2, 1, 2], [1, 0, 1, 1]]),
        ("group", [7, -1]),
        ("label", [-1]),
        ("header", [-1, 12]),
        ("header", [0, 11]),
        ("source", [1, 2]),
    ],
)
def test_tensors_that_are_no_records_are_refused(tmp_path: Path, name: str, values: list[int]) -> None:
    arrays = {**pack(RECORDS, 0, 12), name: np.array(values, DTYPES[name])}
    (tmp_path / "a.pt").write_bytes(to_bytes(arrays))
    with pytest.raises(DatasetError, match=r"a\.pt is damaged"):
        RecordShard(ShardFile(tmp_path / "a.pt"))


def test_a_part_is_compared_with_its_checksum(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pt")
    start, _ = ShardFile(path).payload
    content = bytearray(path.read_bytes())
    content[start] ^= 1
    path.write_bytes(content)
    with pytest.raises(DatasetError, match="its checksum does not match"):
        read_arrays(path)
