"""Write arrays of gigabytes in sections with several threads, and continue after a kill.

A section is a range of rows. It is written at its place in a file of the final size under a temporary name, flushed to
disk, and only then marked as finished; the file gets its name when every section is. Memory use does not depend on
the size of the arrays.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from trm_cli.data.building.build_directory import Build
from trm_cli.data.building.build_shards import require_no_gap
from trm_cli.data.files.durable import sync_directory, sync_file, write_atomically
from trm_cli.data.files.puzzle_arrays import npy_header

from .build_parts import run_parallel

SECTION_ROWS = 1 << 14


class LargeArray:
    """One .npy file whose rows are written in any order. `open` before writing, `finish` when every row is there."""

    def __init__(self, path: Path, shape: tuple[int, int], dtype: DTypeLike) -> None:
        self.path = path
        self.rows = shape[0]
        self._partial = path.with_name(f".{path.name}.partial")
        self._dtype = np.dtype(dtype)
        self._row_bytes = shape[1] * self._dtype.itemsize
        self._header = npy_header(shape, self._dtype)
        self._descriptor = -1

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        return len(self._header) + self.rows * self._row_bytes

    @property
    def finished(self) -> bool:
        """Return whether the file has its name and size."""
        return self.path.is_file() and self.path.stat().st_size == self.size

    @property
    def begun(self) -> bool:
        """Return whether an earlier process left a file to continue."""
        return self._partial.is_file() and self._partial.stat().st_size == self.size

    def open(self) -> None:
        """Reserve the space of the file on disk, so that a full disk is noticed before the work. Raises OSError."""
        fresh = not self.begun
        self._descriptor = os.open(self._partial, os.O_RDWR | os.O_CREAT | (os.O_TRUNC if fresh else 0), 0o666)
        if fresh:
            _reserve(self._descriptor, self.size, self._partial)
            os.pwrite(self._descriptor, self._header, 0)

    def write(self, start: int, rows: NDArray[np.generic]) -> None:
        """Write rows [n, ...] at row `start`. Rows of a file that is finished are there already and are left alone."""
        if self._descriptor < 0:
            return
        data = np.ascontiguousarray(rows, dtype=self._dtype).data.cast("B")
        offset = len(self._header) + start * self._row_bytes
        # One call may write less than asked, for instance when the disk fills up.
        while data:
            written = os.pwrite(self._descriptor, data, offset)
            data, offset = data[written:], offset + written

    def sync(self) -> None:
        """Flush what was written to disk; the size of the file was there before, where the system has fdatasync."""
        getattr(os, "fdatasync", sync_file)(self._descriptor)

    def close(self) -> None:
        """Release the file, finished or not."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def finish(self) -> None:
        """Give the file its name."""
        sync_file(self._descriptor)
        self.close()
        self._partial.replace(self.path)
        sync_directory(self.path.parent)


def write_sections(
    build: Build, name: str, arrays: Sequence[LargeArray], fill: Callable[[int, int], None], workers: int
) -> Iterator[int]:
    """Call `fill(start, stop)` for every range of rows not yet finished; yield the rows of each finished section.

    The marks of finished sections are below the parts of `build`, under `name`; `arrays` are equally long, and `fill`
    writes all of them. A shard writes its own sections, and leaves the files under their temporary names.
    """
    rows = arrays[0].rows
    if all(array.finished for array in arrays):
        yield rows
        return
    marks = build.parts / name
    open_arrays = [array for array in arrays if not array.finished]

    def work(start: int) -> int:
        stop = min(start + SECTION_ROWS, rows)
        fill(start, stop)
        # Before the mark: a mark that survives a power cut must speak of rows that survived it too.
        for array in open_arrays:
            array.sync()
        write_atomically(marks / str(start), b"")
        return stop - start

    try:
        with build.alone():
            _open_all(marks, arrays, open_arrays)
        starts = range(0, rows, SECTION_ROWS)
        missing = [(number, start) for number, start in enumerate(starts) if not (marks / str(start)).exists()]
        if build.merge:
            gaps = [(number, f"{name} from row {start:,}") for number, start in missing]
            require_no_gap(build.root, build.parts, gaps)
        absent = {start for _, start in missing}
        yield sum(min(SECTION_ROWS, rows - start) for start in starts if start not in absent)
        own = [start for number, start in missing if build.shard is None or build.shard.owns(number)]
        for _, count in run_parallel(work, own, workers):
            yield count
        if build.shard is None:
            for array in open_arrays:
                array.finish()
    finally:
        for array in open_arrays:
            array.close()


def _open_all(marks: Path, arrays: Sequence[LargeArray], open_arrays: Sequence[LargeArray]) -> None:
    marks.mkdir(exist_ok=True)
    if not all(array.begun or array.finished for array in arrays):
        # Marks without the files that they speak of: begin again.
        for mark in marks.iterdir():
            mark.unlink()
    for array in open_arrays:
        array.open()


def _reserve(descriptor: int, size: int, path: Path) -> None:
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
        else:
            os.ftruncate(descriptor, size)
    except OSError as error:
        os.close(descriptor)
        path.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
