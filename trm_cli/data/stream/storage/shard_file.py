"""Read shard files by position: the small tensors whole, of the payload the records that a batch needs.

A file that `torch.save` wrote is a zip archive in which tensors are neither compressed nor split, numbered in the order
of writing, so that a tensor is a range of bytes. Nothing is mapped and no pickle is executed: a file that is cut or
changed while it is in use is a message of the read that meets it.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import weakref
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.files.regular_file import open_regular
from trm_cli.data.stream.records import GRID, PICTURE, TEXT
from trm_cli.errors import REBUILD, DatasetError, first_line

DTYPES = {
    "header": np.int64,
    "kind": np.uint8,
    "source": np.uint8,
    "flags": np.uint8,
    "text_length": np.int16,
    "group": np.int32,
    "place": np.int16,
    "shape": np.uint8,
    "label": np.int16,
    "payload": np.uint8,
}
_TENSORS = {**DTYPES, "checksum": np.int64}
_CONTINUE = "build the dataset again; it continues where it stopped"
_BLOCK_BYTES = 1 << 20
_NAME = re.compile(r"[^/]+/data/(\d+)")
_LOCAL_HEADER = 30


class ShardFile:
    """An open shard file. `state` is its size, modification time and inode."""

    def __init__(self, path: str | Path) -> None:
        """Raises DatasetError for what is no whole file of tensors."""
        self.path = Path(path)
        try:
            file = open_regular(path)
        except FileNotFoundError as error:
            raise DatasetError(f"{path} is missing", hint=_CONTINUE) from error
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error.strerror}", hint=REBUILD) from error
        self._close = weakref.finalize(self, file.close)
        self._descriptor = file.fileno()
        self.state = self._current_state()
        try:
            with zipfile.ZipFile(file) as archive:
                self._ranges = self._find_tensors(archive.infolist())
        except DatasetError:
            raise
        except Exception as error:  # a damaged archive raises what it likes
            raise self.damaged(first_line(error) or type(error).__name__) from error

    def __enter__(self) -> ShardFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def read_tensor(self, name: str) -> NDArray[Any]:
        """All of one tensor."""
        start, size = self._ranges[name]
        values = np.frombuffer(self.read(start, size), _TENSORS[name])
        return values.reshape(-1, 4) if name == "shape" else values

    @property
    def payload(self) -> tuple[int, int]:
        """Where the payload begins, and its size in bytes."""
        return self._ranges["payload"]

    def sha256(self) -> str:
        """SHA-256 of the whole file."""
        digest = hashlib.sha256()
        for start in range(0, self.state[0], _BLOCK_BYTES):
            digest.update(self.read(start, min(_BLOCK_BYTES, self.state[0] - start)))
        return digest.hexdigest()

    def read(self, start: int, size: int) -> bytes:
        """Bytes of the file. Raises DatasetError where there are fewer than there were when it was opened."""
        try:
            content = os.pread(self._descriptor, size, start)
            while len(content) < size and (
                more := os.pread(self._descriptor, size - len(content), start + len(content))
            ):
                content += more
        except OSError as error:
            raise DatasetError(f"{self.path} cannot be read: {error.strerror}", hint=REBUILD) from error
        if len(content) < size:
            raise self.changed()
        return content

    def require_unchanged(self) -> None:
        """Raise DatasetError where the file was written to since it was opened."""
        if self._current_state() != self.state:
            raise self.changed()

    def damaged(self, reason: str) -> DatasetError:
        """Return the error that says so."""
        return DatasetError(f"{self.path} is damaged: {reason}", hint=REBUILD)

    def changed(self) -> DatasetError:
        """Return the error that says so."""
        return DatasetError(f"{self.path} was changed while it was in use", hint=REBUILD)

    def _find_tensors(self, entries: Sequence[zipfile.ZipInfo]) -> dict[str, tuple[int, int]]:
        """Where each tensor begins, and its size in bytes."""
        numbered = {int(match[1]): entry for entry in entries if (match := _NAME.fullmatch(entry.filename))}
        if sorted(numbered) != list(range(len(_TENSORS))):
            raise self.damaged(f"it holds {len(numbered)} tensors, not {len(_TENSORS)}")
        ranges = {}
        for number, (name, dtype) in enumerate(_TENSORS.items()):
            entry = numbered[number]
            # The central directory does not say how long the local header is: it is padded.
            header = self.read(entry.header_offset, _LOCAL_HEADER)
            start = entry.header_offset + _LOCAL_HEADER + sum(struct.unpack("<HH", header[26:30]))
            if entry.compress_type or header[:4] != b"PK\3\4" or start + entry.file_size > self.state[0]:
                raise self.damaged(f"its tensor {name} is not stored as it should be")
            if entry.file_size % np.dtype(dtype).itemsize:
                raise self.damaged(f"its tensor {name} has {entry.file_size} bytes")
            ranges[name] = (start, entry.file_size)
        return ranges

    def _current_state(self) -> tuple[int, int, int]:
        status = os.fstat(self._descriptor)
        return status.st_size, status.st_mtime_ns, status.st_ino


class RecordShard:
    """The records of a shard file: what each is, [N] or [N, 4]; payloads are read when they are asked for.

    group, place, shape (height and width of input and output) are 0 where there is no grid, label where no picture is.
    """

    kind: NDArray[np.uint8]
    source: NDArray[np.uint8]
    flags: NDArray[np.uint8]
    group: NDArray[np.int32]
    place: NDArray[np.int16]
    shape: NDArray[np.uint8]
    label: NDArray[np.int16]
    lengths: NDArray[np.int64]

    def __init__(self, file: ShardFile) -> None:
        """Raises DatasetError where the tensors are no records."""
        self._file = file
        header, kind, source, flags = (file.read_tensor(name) for name in ("header", "kind", "source", "flags"))
        texts, group, place, shape, label = (
            file.read_tensor(name) for name in ("text_length", "group", "place", "shape", "label")
        )
        count = len(kind)
        grid, text, picture = (kind == number for number in (GRID, TEXT, PICTURE))
        if (
            len(header) != 2
            or header.min() < 0
            or not len(source) == len(flags) == count
            or kind.max(initial=0) > PICTURE
        ):
            raise file.damaged("a record of an unknown kind or place")
        for number, names in ((grid.sum(), (group, place, shape)), (text.sum(), (texts,)), (picture.sum(), (label,))):
            if any(len(values) != number for values in names):
                raise file.damaged("its tensors do not fit each other")
        self.first, self.picture_bytes = int(header[0]), int(header[1])
        self.kind, self.source, self.flags = kind, source, flags
        self.group = _spread(group, grid, np.int32)
        self.place = _spread(place, grid, np.int16)
        self.label = _spread(label, picture, np.int16)
        self.shape = np.zeros((count, 4), np.uint8)
        self.shape[grid] = shape
        sides = shape.astype(np.int64)
        self.lengths = _spread(texts, text, np.int64)
        self.lengths[grid] = sides[:, 0] * sides[:, 1] + sides[:, 2] * sides[:, 3]
        self.lengths[picture] = self.picture_bytes
        self._ends = np.cumsum(self.lengths)
        if min(sides.min(initial=1), texts.min(initial=0) + 1, group.min(initial=0) + 1, label.min(initial=0) + 1) < 1:
            raise file.damaged("a record of no size")
        if place.min(initial=0) < 0 or (self._ends[-1] if count else 0) != file.payload[1]:
            raise file.damaged("its payload has another size than its records")

    def __len__(self) -> int:
        return len(self.kind)

    def payloads(self, records: NDArray[np.integer]) -> list[bytes]:
        """The payloads of some records, in the order asked for. Raises DatasetError where the file has changed."""
        start = self._file.payload[0]
        sizes = self.lengths[records].tolist()
        places = (self._ends[records] - self.lengths[records] + start).tolist()
        read = self._file.read
        found = [read(place, size) for place, size in zip(places, sizes, strict=True)]
        self._file.require_unchanged()
        return found


def _spread(values: NDArray[Any], mask: NDArray[np.bool_], dtype: type[np.generic]) -> NDArray[Any]:
    """Put the values of some records where these stand among all: [N], 0 for the others."""
    found = np.zeros(len(mask), dtype)
    found[mask] = values
    return found
