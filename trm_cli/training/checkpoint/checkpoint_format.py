"""The file format of a checkpoint: a `torch.save` archive whose zip comment holds a summary and a SHA-256 checksum.

`torch.load` opens such a file without this module, because a comment is part of the zip format. The checksum covers
every byte of the archive and of the summary: one flipped bit anywhere makes the file damaged, and a damaged file is
never loaded. Loading is `weights_only=True` with no allow-list: a pickle that carries code is refused by torch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from trm_cli.data.files.durable import atomic_file
from trm_cli.data.files.json_file import parse_json
from trm_cli.data.files.regular_file import open_regular, require_regular
from trm_cli.errors import CheckpointError, first_line, reading
from trm_cli.shell import command_line
from trm_cli.training.checkpoint.pointers import follow
from trm_cli.training.run_files import is_run

MARK = b"trm-checkpoint:"
_CHECKSUM_LENGTH = 64
_MAX_COMMENT_LENGTH = (1 << 16) - 1
_END_OF_ARCHIVE = b"PK\x05\x06"
_END_RECORD_LENGTH = 22
_CHUNK = 1 << 22
_log = logging.getLogger(__name__)


def save_file(path: Path, state: dict[str, Any], summary: dict[str, Any]) -> str:
    """Write `state` (tensors and plain values) to `path`, completely or not at all; returns its checksum.

    summary: small and JSON-able (step, run, ...); can be read later without torch and without loading the file.
    Raises OSError where the disk fails, CheckpointError for a summary that a zip comment does not hold; what stood at
    `path` before is then still there.
    """
    comment = MARK + json.dumps(summary, sort_keys=True).encode() + b"\n"
    length = len(comment) + _CHECKSUM_LENGTH
    if length > _MAX_COMMENT_LENGTH:
        raise CheckpointError(f"{path} is not written: its summary takes {length:,} bytes of {_MAX_COMMENT_LENGTH:,}")
    started = time.monotonic()
    with atomic_file(path) as file:
        write_archive(file, state)
        # The end record closes the archive; its last two bytes are the length of the comment that follows it.
        file.seek(-2, os.SEEK_END)
        file.write(struct.pack("<H", length))
        file.write(comment)
        checksum = _sha256(file, file.tell())
        file.write(checksum.encode())
        size = file.tell()
    _log.info("saved %s: %d bytes in %.2f s", path, size, time.monotonic() - started)
    return checksum


def write_archive(file: BinaryIO, state: dict[str, Any]) -> None:
    """Write `state` with `torch.save`; where the disk fails the OSError of the disk is raised."""
    import torch  # here, so that listing and verifying files does not wait for it

    watched = _WatchedFile(file)
    try:
        torch.save(state, cast(BinaryIO, watched))
    except RuntimeError as error:
        # torch closes its archive after a failed write and reports the hole that it finds then, not the disk.
        raise watched.failure or error from error


def read_file_summary(path: Path) -> dict[str, Any]:
    """Read the summary in a file's comment, without loading or verifying the rest.

    Raises CheckpointError when the file is not complete.
    """
    with _opened(path) as file:
        return _summary(file, path)


def read_checksum(path: Path) -> tuple[int, str]:
    """Read (size in bytes, the checksum at the end of the file), without computing it. Raises CheckpointError."""
    with _opened(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _CHECKSUM_LENGTH))
        return size, file.read(_CHECKSUM_LENGTH).decode("ascii", "replace")


def verify_file(path: Path) -> dict[str, Any]:
    """Check every byte of the file against its checksum and return its summary. Raises CheckpointError."""
    with _opened(path) as file:
        return _verify(file, path)


def load_file(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Verify a file, then load it onto the CPU: (state, summary). Raises CheckpointError."""
    import torch

    # One open file for both: what is loaded is what was verified, even while a run deletes its older checkpoints.
    started = time.monotonic()
    with _opened(path) as file:
        summary = _verify(file, path)
        file.seek(0)
        with _refusals(path):
            state = torch.load(file, map_location="cpu", weights_only=True)
        _log.info("loaded %s: %d bytes in %.2f s", path, file.seek(0, os.SEEK_END), time.monotonic() - started)
    if not isinstance(state, dict):
        raise damaged(path, "it holds no state")
    return state, summary


def map_file(path: Path) -> Any:
    """Load a file with its tensors memory-mapped; nothing is verified here. Raises CheckpointError."""
    import torch

    with _refusals(path):
        require_regular(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Turn whatever torch raises for a file that it refuses into CheckpointError."""
    try:
        yield
    except Exception as error:  # torch raises half a dozen unrelated classes for files that it refuses
        raise CheckpointError(f"{path} is refused by torch: {first_line(error)}") from error


class _WatchedFile:
    """A file for `torch.save` that remembers the first error of the disk."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write, unless the disk failed before: what follows a hole is worth nothing."""
        if self.failure is not None:
            raise self.failure
        try:
            return self._file.write(data)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        """Nothing: the file is flushed when it is complete."""


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a checkpoint, or what a pointer names, for reading; what the system refuses becomes a CheckpointError."""
    with reading(path), open_regular(follow(path)) as file:
        yield file


def _summary(file: BinaryIO, path: Path) -> dict[str, Any]:
    comment = _comment(file, path)
    try:
        summary = parse_json(comment[len(MARK) : -_CHECKSUM_LENGTH], str(path), error=CheckpointError)
    except CheckpointError as error:
        raise damaged(path, "its summary is not readable") from error
    if not isinstance(summary, dict):
        raise damaged(path, "its summary is not readable")
    return summary


def _verify(file: BinaryIO, path: Path) -> dict[str, Any]:
    summary = _summary(file, path)
    size = file.seek(0, os.SEEK_END)
    file.seek(size - _CHECKSUM_LENGTH)
    written = file.read(_CHECKSUM_LENGTH)
    if _sha256(file, size - _CHECKSUM_LENGTH).encode() != written:
        raise damaged(path, "its bytes do not match its SHA-256")
    return summary


def _comment(file: BinaryIO, path: Path) -> bytes:
    size = file.seek(0, os.SEEK_END)
    tail = min(size, _END_RECORD_LENGTH + _MAX_COMMENT_LENGTH)
    file.seek(size - tail)
    data = file.read(tail)
    mark = data.rfind(MARK)
    start = mark - _END_RECORD_LENGTH
    if start < 0 or data[start : start + 4] != _END_OF_ARCHIVE:
        raise damaged(path, "its end is missing, or it was not written by trm")
    comment = data[mark:]
    if struct.unpack("<H", data[mark - 2 : mark])[0] != len(comment) or len(comment) <= len(MARK) + _CHECKSUM_LENGTH:
        raise damaged(path, "it ends too early or too late")
    return bytes(comment)


def _sha256(file: BinaryIO, length: int) -> str:
    """SHA-256 of the first `length` bytes; the file's position is left at their end."""
    digest = hashlib.sha256()
    file.seek(0)
    left = length
    while left:
        chunk = file.read(min(_CHUNK, left))
        if not chunk:
            break
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()


def damaged(path: Path, why: str) -> CheckpointError:
    """Make the error for a file that is not what was written."""
    listed = f"`{command_line('trm', 'checkpoints', 'verify', path.parent)}` lists the valid checkpoints"
    return CheckpointError(f"{path} is damaged: {why}", hint=listed if is_run(path.parent) else None)
