"""Results of runs as a committed JSON list, one entry a run, and the commit that each was made with."""

from __future__ import annotations

import fcntl
import json
import subprocess
from pathlib import Path
from typing import Any

from trm_cli.data.files.durable import atomic_file

Entry = dict[str, Any]


def read_results(path: Path) -> list[Entry]:
    """All entries, the oldest first."""
    found: list[Entry] = json.loads(path.read_text()) if path.is_file() else []
    return found


def append_result(entry: Entry, path: Path) -> None:
    """Add an entry; the file is replaced as a whole, and two runs that end together both find their place."""
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        entries = [*read_results(path), entry]
        with atomic_file(path) as stream:
            lines = ",\n".join(json.dumps(one, sort_keys=True) for one in entries)
            stream.write(f"[\n{lines}\n]\n".encode())


def commit_of(*code: str) -> str:
    """The commit of the repository, with a + where files of `code` were changed since."""
    root = Path(__file__).parents[1]

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    changed = git("status", "--porcelain", "--", *code)
    return git("rev-parse", "--short=10", "HEAD") + ("+" if changed else "")
