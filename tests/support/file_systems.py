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


def as_on_macos(monkeypatch: pytest.MonkeyPatch, *, network_drive: bool = False) -> list[int]:
    """What macOS has otherwise: no fdatasync, posix_fallocate or /proc; F_FULLFSYNC, but not on drives of a network.

    Returns the list to which every full flush is added.
    """
    for name in ("fdatasync", "posix_fallocate", "sched_getaffinity"):
        monkeypatch.delattr(os, name, raising=False)
    full, flushed, real = 51, [], fcntl.fcntl

    def call(descriptor: int, command: int, *more: Any) -> Any:
        if command != full:
            return real(descriptor, command, *more)
        if network_drive:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        flushed.append(descriptor)
        return 0

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", full, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", call)

    def hidden(method: Any, instead: Any) -> Any:
        def asked(path: Path, *words: Any, **named: Any) -> Any:
            return instead() if str(path).startswith("/proc/") else method(path, *words, **named)

        return asked

    missing = refuse(errno.ENOENT)
    for name, instead in (("read_text", missing), ("readlink", missing), ("exists", lambda: False)):
        monkeypatch.setattr(Path, name, hidden(getattr(Path, name), instead))
    return flushed
