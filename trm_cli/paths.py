"""Questions about a path that a person or a file names, answered without an exception. Standard library only.

pathlib raises where the system cannot look a name up: one of more than 255 bytes, in a folder that may not be read, in
a loop of links. To whoever asks, nothing is there; what then opens it says why it cannot.
"""

from __future__ import annotations

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


def longest_name(path: str) -> int:
    """The bytes of the longest name in a path."""
    return max(len(part.encode("utf-8", "surrogatepass")) for part in Path(path).parts or (path,))
