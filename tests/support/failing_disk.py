"""A layer over the system calls of a save: it counts them, and lets one of them fail, or the process or the power end.

Writing goes to the real file system, unbuffered, so that what was written before a crash is what the disk holds.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

#: Those that pathlib and `durable` use.
CALLS = ("open", "fsync", "close", "replace", "symlink", "unlink", "mkdir", "statvfs", "scandir", "listdir", "readlink")


class Crash(BaseException):
    """The process is gone; nothing may clean up after it."""


class Disk:
    """Counts the calls below `root` and does something else instead of one of them.

    at: number of the call, from 0; None counts alone. instead: what happens there, usually an exception.
    """

    def __init__(self, root: Path, at: int | None = None, instead: Callable[[], BaseException] = Crash) -> None:
        self.root = root
        self.at = at
        self.instead = instead
        self.calls: list[str] = []
        self.dead = False
        self._real = {name: getattr(os, name) for name in CALLS}
        self._open = io.open
        #: What a power cut leaves: content by inode as of its last fsync, names as of the last one of the directory.
        self._contents: dict[int, bytes] = {}
        self._names: dict[str, int | str] = {}
        for path in root.iterdir():
            if path.is_file() and not path.is_symlink():
                self._contents[path.stat().st_ino] = path.read_bytes()
        self._names = self._listing()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the layer between the program and the system."""
        for name in CALLS:
            monkeypatch.setattr(os, name, lambda *args, _name=name, **kwargs: self._call(_name, *args, **kwargs))
        monkeypatch.setattr(io, "open", self._open_file)

    def count(self, name: str) -> None:
        """One call begins; it may never come to its end."""
        if self.dead:
            raise Crash
        self.calls.append(name)
        if len(self.calls) - 1 == self.at:
            error = self.instead()
            self.dead = isinstance(error, Crash)
            raise error

    def cut_power(self, *, names_survive: bool) -> None:
        """Leave in `root` only what was flushed; names_survive: renames were, though nobody asked for it."""
        names = self._listing() if names_survive else self._names
        for path in list(self.root.iterdir()):
            path.unlink()
        for name, what in names.items():
            if isinstance(what, str):
                (self.root / name).symlink_to(what)
            else:
                (self.root / name).write_bytes(self._contents.get(what, b""))

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        self.count(name)
        result = self._real[name](*args, **kwargs)
        if name == "fsync":
            self._flushed(args[0])
        return result

    def _flushed(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            self._names = self._listing()
        else:
            self._contents[found.st_ino] = os.pread(descriptor, found.st_size, 0)

    def _listing(self) -> dict[str, int | str]:
        names: dict[str, int | str] = {}
        for name in self._real["listdir"](self.root):
            found = os.lstat(self.root / name)
            is_link = stat.S_ISLNK(found.st_mode)
            names[name] = self._real["readlink"](self.root / name) if is_link else found.st_ino
        return names

    def _open_file(self, file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if "b" not in mode or not str(file).startswith(str(self.root)):
            return self._open(file, mode, *args, **kwargs)
        self.count("open")
        return _File(self._open(file, mode, 0), self)


class _File:
    """An open file whose calls are counted."""

    def __init__(self, file: Any, disk: Disk) -> None:
        self._file = file
        self._disk = disk

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()  # without a buffer it changes nothing that lies on the disk
        self._disk.count("close")

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._file, name)
        if name not in ("write", "read", "readinto", "seek", "flush"):
            return method

        def counted(*args: Any) -> Any:
            self._disk.count(name)
            return method(*args)

        return counted
