"""Remember which checks the large files of a dataset have passed, so that they are read once and not at every start."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from trm_cli.data.files.json_file import read_json
from trm_cli.errors import DatasetError

MEMORY_NAME = ".checked.json"
#: Smaller files are read in less time than it takes to notice.
WORTH_REMEMBERING = 16 << 20


class CheckedFiles:
    """Checks that files of a dataset have passed, kept beside them; a file that has changed since has passed none.

    A file is the same while its size, modification time and inode are. Where the directory cannot be written, nothing
    is remembered and the files are read again.
    """

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root)
        self._states: dict[str, tuple[int, int, int] | None] = {}  # of files as they were before they were checked

    def has_passed(self, name: str, check: str) -> bool:
        """Return whether this very file has passed `check`; ask before it is read."""
        state = self._states[name] = self._state(name)
        return state is not None and self._read().get(f"{name}: {check}") == list(state)

    def remember(self, name: str, check: str) -> None:
        """Note that a file has passed, unless it has changed since `has_passed` was asked."""
        state = self._states[name]
        if state is None or state[0] < WORTH_REMEMBERING or state != self._state(name):
            return
        known = self._read() | {f"{name}: {check}": list(state)}
        temporary = self._root / f"{MEMORY_NAME}.{os.getpid()}"
        with suppress(OSError):
            temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
            temporary.replace(self._root / MEMORY_NAME)

    def _read(self) -> dict[str, object]:
        try:
            known = read_json(self._root / MEMORY_NAME)
        except DatasetError:
            return {}
        return known if isinstance(known, dict) else {}

    def _state(self, name: str) -> tuple[int, int, int] | None:
        try:
            status = (self._root / name).stat()
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns, status.st_ino
