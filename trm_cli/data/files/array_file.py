"""The rows of an array in a .npy file, read by position: a file that is cut while it is used ends in a message."""

from __future__ import annotations

import io
import math
import os
import tokenize
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.files.regular_file import open_regular
from trm_cli.errors import REBUILD, DatasetError, first_line

IntArray = NDArray[np.integer]
#: Arrays of up to this size are read once and kept; of larger ones each batch reads its rows.
KEPT_BYTES = 64 << 20
_HEADER_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 20


class RowReader:
    """An array of integers in a file; `reader[rows]` reads rows [n]. Nothing is mapped into memory.

    A mapped file that somebody cuts ends the process by a signal, and what is written into it changes the rows without
    a word. Here both are a DatasetError of the read that meets them.
    """

    def __init__(self, path: str | Path, dimensions: int) -> None:
        """Raises DatasetError for what is no whole .npy file of integers with so many dimensions."""
        self.path = Path(path)
        try:
            file = open_regular(path)
        except FileNotFoundError as error:
            raise DatasetError(f"{path} is missing", hint=REBUILD) from error
        except OSError as error:
            raise DatasetError(f"{path} cannot be read: {error.strerror}", hint=REBUILD) from error
        weakref.finalize(self, file.close)
        self._descriptor = file.fileno()
        self._state = self._current_state()
        self.shape, fortran, self.dtype, self._start = self._read_header()
        if self.dtype.kind not in "iu" or len(self.shape) != dimensions:
            raise DatasetError(f"{path} must hold integers in {dimensions} dimension(s)", hint=REBUILD)
        self._row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        expected, found = self._start + math.prod(self.shape) * self.dtype.itemsize, self._state[0]
        if min(self.shape) < 0 or expected != found:
            raise self._damaged(f"its header announces an array {self.shape}, {expected} bytes; it has {found}")
        self._kept: IntArray | None = None
        if fortran and dimensions > 1:
            self._kept = np.frombuffer(self._content(0, len(self)), self.dtype).reshape(self.shape[::-1]).T
        elif expected <= KEPT_BYTES:
            self._kept = self._read(0, len(self))

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[np.int64]) -> IntArray:
        """Rows [n, ...] in the order asked for. Raises DatasetError where the file has changed since it was opened."""
        if self._kept is not None or not len(rows):
            return self._kept[rows] if self._kept is not None else self._read(0, 0)
        wanted, places = np.unique(rows, return_inverse=True)
        starts = np.flatnonzero(np.diff(wanted, prepend=-2) > 1)  # neighbours are one read
        counts = np.diff(starts, append=len(wanted))
        runs = zip(wanted[starts].tolist(), counts.tolist(), strict=True)
        found = self._as_rows(b"".join(self._content(first, count) for first, count in runs))
        if self._current_state() != self._state:
            raise self._changed()
        return found[places]

    def spans(self, starts: NDArray[np.int64], length: int) -> IntArray:
        """Entries start..start+length-1 of an array of one dimension, for each start [n]: [n, length]."""
        if self._kept is not None:
            return np.lib.stride_tricks.sliding_window_view(self._kept, length)[starts]
        found = self._as_rows(b"".join(self._content(start, length) for start in starts.tolist()))
        if self._current_state() != self._state:
            raise self._changed()
        return found.reshape(len(starts), length)

    def whole(self) -> IntArray:
        """All rows."""
        return self._kept if self._kept is not None else np.concatenate(list(self.blocks()))

    def blocks(self) -> Iterator[IntArray]:
        """All rows, some of them at a time."""
        step = max(1, _BLOCK_BYTES // max(1, self._row_bytes))
        for first in range(0, len(self), step):
            last = min(first + step, len(self))
            yield self._kept[first:last] if self._kept is not None else self._read(first, last - first)

    def _read(self, first: int, count: int) -> IntArray:
        return self._as_rows(self._content(first, count))

    def _as_rows(self, content: bytes) -> IntArray:
        rows = len(content) // max(1, self._row_bytes)
        return np.frombuffer(content, self.dtype).reshape(rows, *self.shape[1:])

    def _content(self, first: int, count: int) -> bytes:
        size, offset = count * self._row_bytes, self._start + first * self._row_bytes
        content = self._pread(size, offset)
        while len(content) < size:  # one read is at most 2 GiB
            part = self._pread(size - len(content), offset + len(content))
            if not part:
                raise self._changed()
            content += part
        return content

    def _pread(self, size: int, offset: int) -> bytes:
        try:
            return os.pread(self._descriptor, size, offset)
        except OSError as error:
            raise DatasetError(f"{self.path} cannot be read: {error.strerror}", hint=REBUILD) from error

    def _read_header(self) -> tuple[tuple[int, ...], bool, np.dtype[np.generic], int]:
        """Shape, whether columns come first, type, and where the content begins."""
        stream = io.BytesIO(self._pread(_HEADER_BYTES, 0))
        try:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(stream)
        # Whatever stands in a damaged header goes through a parser of Python expressions.
        except (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError) as error:
            raise self._damaged(first_line(error)) from error
        return shape, fortran, dtype, stream.tell()

    def _current_state(self) -> tuple[int, int]:
        status = os.fstat(self._descriptor)
        return status.st_size, status.st_mtime_ns

    def _damaged(self, reason: str) -> DatasetError:
        return DatasetError(f"{self.path} is damaged: {reason}", hint=REBUILD)

    def _changed(self) -> DatasetError:
        return DatasetError(f"{self.path} was changed while it was in use", hint=REBUILD)


class TokenRows:
    """Rows [n, length] of a token array in a file; each row follows the one before it, all moved on by `shift`.

    Inputs are the rows without a shift, labels those moved on by one token: both are one array on disk.
    """

    def __init__(self, tokens: RowReader, length: int, shift: int) -> None:
        """Raises DatasetError for an array of other than whole rows and one token more."""
        if len(tokens) < length + 1 or (len(tokens) - 1) % length:
            raise DatasetError(f"{tokens.path} does not hold whole rows of {length} tokens", hint=REBUILD)
        self.path = tokens.path
        self.shape = ((len(tokens) - 1) // length, length)
        self._tokens = tokens
        self._shift = shift

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: NDArray[np.int64]) -> IntArray:
        """Rows [n, length] in the order asked for. Raises DatasetError where the file has changed."""
        return self._tokens.spans(rows * self.shape[1] + self._shift, self.shape[1])

    def blocks(self) -> Iterator[IntArray]:
        """All tokens of the file, some of them at a time."""
        return self._tokens.blocks()


def read_array(path: str | Path, dimensions: int) -> IntArray:
    """The array in a .npy file. Raises DatasetError for what is no whole file of integers with so many dimensions."""
    return RowReader(path, dimensions).whole()
