"""File systems that lack what ours has, by making the calls fail as they fail there."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

import pytest


def refuse(number: int) -> Any:
    def call(*arguments: Any, **named: Any) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return call


def without_links(monkeypatch: pytest.MonkeyPatch, number: int = errno.EPERM) -> None:
    """ExFAT, some network drives: no symbolic links."""
    monkeypatch.setattr(os, "symlink", refuse(number))


def without_directory_fsync(monkeypatch: pytest.MonkeyPatch, number: int = errno.EINVAL) -> None:
    """Older CIFS, some FUSE: directories cannot be flushed."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def without_locks(monkeypatch: pytest.MonkeyPatch, number: int = errno.EOPNOTSUPP) -> None:
    """Some network and user-space file systems: no flock."""
    monkeypatch.setattr(fcntl, "flock", refuse(number))


def full_above(monkeypatch: pytest.MonkeyPatch, directory: Path, room: int) -> None:
    """A disk on which the checkpoints of `directory` may take `room` bytes together."""
    from trm_cli.training.checkpoint import disk_space

    def free(_: Path) -> int:
        return room - sum(path.lstat().st_size for path in directory.glob("step_*.pt"))

    monkeypatch.setattr(disk_space, "free_bytes", free)
