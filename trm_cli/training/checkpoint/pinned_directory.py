"""A directory that is held open, so that it is known again wherever somebody moves it."""

from __future__ import annotations

import os
from pathlib import Path


class PinnedDirectory:
    """The directory that `path` names now; `path` may come to name another one, or none. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # While it is open its inode number belongs to it alone, also after it was deleted.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def where(self) -> Path | None:
        """Its path: the same one unless it was moved. None where it was deleted, or where the system does not tell."""
        if self._is_at(self.path):
            return self.path
        try:
            found = Path(f"/proc/self/fd/{self._descriptor}").readlink()
        except OSError:
            return None
        return found if self._is_at(found) else None

    def close(self) -> None:
        """Let it go."""
        os.close(self._descriptor)

    def _is_at(self, path: Path) -> bool:
        try:
            return os.path.samestat(path.stat(), os.fstat(self._descriptor))
        except OSError:
            return False
