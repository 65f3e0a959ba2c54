from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from trm_cli.data.files import array_file
from trm_cli.data.files.array_file import RowReader, read_array
from trm_cli.errors import DatasetError

ROWS = np.random.default_rng(0).integers(0, 100, (500, 7), dtype=np.int16)


@pytest.fixture(params=["kept", "read by rows"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "read by rows":
        monkeypatch.setattr(array_file, "KEPT_BYTES", 0)
    yield request.param


@pytest.mark.parametrize("values", [ROWS, ROWS.astype(">i8"), np.asfortranarray(ROWS), ROWS[:0]])
def test_rows_are_those_of_numpy(tmp_path: Path, size: str, values: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", values)
    reader = RowReader(tmp_path / "a.npy", 2)
    wanted = [[], [3], [3, 4, 5], [499, 0, 3, 3, 4, 250]] if len(values) else [[]]
    for rows in wanted:
        assert np.array_equal(reader[np.array(rows, dtype=np.int64)], values[rows])
    assert np.array_equal(reader.whole() if len(values) else values, values)
    assert reader.shape == values.shape


@pytest.mark.parametrize("cut", [True, False])
def test_a_file_that_changes_while_it_is_read_ends_in_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: bool
) -> None:
    monkeypatch.setattr(array_file, "KEPT_BYTES", 0)
    path = tmp_path / "a.npy"
    np.save(path, ROWS)
    reader = RowReader(path, 2)
    with path.open("r+b") as file:
        if cut:
            file.truncate(200)
        else:
            file.seek(300)
            file.write(b"x")
    os.utime(path, ns=(1, 1))  # a file system with coarse times would show the old one
    with pytest.raises(DatasetError, match="was changed while it was in use"):
        reader[np.arange(400)]


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npy")
    with pytest.raises(DatasetError, match="it is a pipe"):
        read_array(tmp_path / "a.npy", 1)


HEADERS = {
    "negative": b"{'descr': '<i2', 'fortran_order': False, 'shape': (-1, 7), }",
    "huge": b"{'descr': '<i2', 'fortran_order': False, 'shape': (99999999999999, 99999999999999), }",
    "unclosed": b"{'descr': '<i2', 'fortran_order': False, 'shape': (500, 7",
    "other size": b"{'descr': '<i2', 'fortran_order': False, 'shape': (499, 7), }",
    "nested": b"(" * 5000,
    "long": b" " * 60000,
}


@pytest.mark.parametrize("header", HEADERS)
def test_a_damaged_header_is_named(tmp_path: Path, header: str) -> None:
    text, path = HEADERS[header], tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + ROWS.tobytes())
    with pytest.raises(DatasetError, match=r"a\.npy is damaged") as caught:
        RowReader(path, 2)
    assert len(caught.value.message) < 500
