"""Open what should be an ordinary file: a pipe, a folder or a device in its place is refused at once."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file for reading in binary. Raises OSError, with the reason in `strerror`, for whatever is no file."""
    # A pipe that nobody writes to would be waited for, for ever, without this flag; files do not notice it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _require_regular(os.fstat(descriptor).st_mode, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def require_regular(path: str | Path) -> None:
    """Raise OSError, as `open_regular` does, unless `path` is a file: for those that others open, or that are written.

    A file that is not there raises FileNotFoundError.
    """
    _require_regular(Path(path).stat().st_mode, path)


def _require_regular(mode: int, path: str | Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", str(path))
    if not stat.S_ISREG(mode):
        kind = "a pipe" if stat.S_ISFIFO(mode) else "a device or socket"
        raise OSError(errno.EINVAL, f"it is {kind}, not a file", str(path))
