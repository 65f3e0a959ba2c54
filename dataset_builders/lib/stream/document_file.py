"""Keep the documents of a text source in one file while a stream is built, and read parts of them by position.

Standard library only.
"""

from __future__ import annotations

import os
import weakref
from pathlib import Path

_BLOCK_BYTES = 1 << 20


class DocumentFile:
    """Text of documents, one after the other; written once, then read by any number of forked workers.

    It belongs to one building process, whose start overwrites it, and is removed with the other files that a finished
    dataset does not need. Without a path (a plan) nothing is kept.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.size = 0
        self._reader = (-1, -1)  # process, descriptor: a forked worker has closed those of its parent
        self._writer = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = path.open("wb", buffering=_BLOCK_BYTES)
            weakref.finalize(self, self._writer.close)

    def append(self, text: bytes) -> None:
        """Add a document; it begins at what `size` was before."""
        if self._writer is not None:
            self._writer.write(text)
        self.size += len(text)

    def end(self) -> None:
        """Write what is still held in memory; nothing is appended any more."""
        if self._writer is not None:
            self._writer.close()

    def read(self, start: int, end: int) -> bytes:
        """Return the text between two places."""
        process, descriptor = self._reader
        if process != os.getpid():
            assert self._path is not None, "a plan keeps no text"
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            weakref.finalize(self, os.close, descriptor)
            self._reader = (os.getpid(), descriptor)
        return os.pread(descriptor, end - start, start)
