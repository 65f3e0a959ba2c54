"""Questions about a path that a person or a file names, answered without an exception. Standard library only.

pathlib raises where the system cannot look a name up: one of more than 255 bytes, in a folder that may not be read, in
a loop of links. To whoever asks, nothing is there; what then opens it says why it cannot.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

#: Bytes of one name in a path, on every file system in use.
LONGEST_NAME = 255


def exists(path: str | Path) -> bool:
    """Whether there is anything at `path`."""
    try:
        return Path(path).exists()
    except OSError:
        return False


def is_file(path: str | Path) -> bool:
    """Whether there is a regular file at `path`."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def is_dir(path: str | Path) -> bool:
    """Whether there is a directory at `path`."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False


def from_here(path: Path) -> Path:
    """A path as it is shown: relative where it lies below the working directory."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def mistyped_path(path: str) -> str:
    """How a path is written that a shell has not expanded, or that is written as on another system; "".

    What is there is right, however it looks.
    """
    if exists(path):
        return ""
    expanded = os.path.expandvars(os.path.expanduser(path))  # noqa: PTH111  # of a user whom nobody knows, pathlib raises
    if expanded != path:
        return f"the shell has not expanded it: write {expanded}"
    if len(path) > 2 and path[0] == path[-1] and path[0] in "'\"":
        return f"without the quotes inside: {path[1:-1]}"
    if drive := re.match(r"([A-Za-z]):[\\/]", path):
        rest = path[3:].replace("\\", "/")
        return f"a path of Windows; in WSL it is /mnt/{drive[1].lower()}/{rest}"
    return f"folders are separated by /: {path.replace(chr(92), '/')}" if "\\" in path else ""


def do_without_temporary_folder() -> None:
    """On a system where nothing can be written, let libraries be imported all the same.

    Some ask for the temporary folder at once and die where there is none; whoever writes there says so then.
    """
    usual = os.environ.get("TMPDIR", "/tmp")
    if not os.access(usual, os.W_OK):
        import tempfile

        try:
            tempfile.gettempdir()
        except FileNotFoundError:
            tempfile.tempdir = usual


def longest_name(path: str) -> int:
    """The bytes of the longest name in a path."""
    return max(len(part.encode("utf-8", "surrogatepass")) for part in Path(path).parts or (path,))
