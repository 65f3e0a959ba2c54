"""`latest.pt` and `best.pt`: links to a checkpoint, or small text files with its name where links are refused."""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from pathlib import Path

from trm_cli.data.files.durable import sync_directory, write_atomically
from trm_cli.data.files.regular_file import open_regular

STEP_FILE = re.compile(r"^step_(\d{8,})\.pt$")
#: What file systems answer that have no links: exFAT, some network drives, drives that a notebook mounts.
_REFUSED = {errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
_LONGEST = 64


def write_pointer(pointer: Path, target: Path) -> None:
    """Switch a pointer to a file beside it in one step: a reader sees the old target or the new one, never none.

    Raises OSError where the disk fails.
    """
    temporary = pointer.with_name(f".{pointer.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        temporary.symlink_to(target.name)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        write_atomically(pointer, f"{target.name}\n".encode())
        return
    temporary.replace(pointer)
    sync_directory(pointer.parent)


def pointed_step(pointer: Path) -> int | None:
    """The step that a pointer names, whether its file is there or not; None where there is no such pointer."""
    if pointer.is_symlink():
        name = pointer.readlink().name
    else:
        name = _text(pointer)
    match = STEP_FILE.match(name)
    return int(match.group(1)) if match else None


def follow(path: str | Path) -> Path:
    """The checkpoint file that a path means: links and text pointers are followed, anything else is itself."""
    found = Path(os.path.realpath(path))  # unlike Path.resolve it says nothing about links in a circle: opening does
    name = _text(found)
    return found.with_name(name) if STEP_FILE.match(name) else found


def _text(path: Path) -> str:
    """The text of a pointer file; "" for any other file, and for none."""
    with suppress(OSError, UnicodeDecodeError), open_regular(path) as file:
        data = file.read(_LONGEST + 1)
        if len(data) <= _LONGEST:
            return data.decode("ascii").strip()
    return ""
