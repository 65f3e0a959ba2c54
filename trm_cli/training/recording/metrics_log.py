"""Write and read `metrics.jsonl`: one JSON object a logged step or evaluation, independent of machine and wall time.

So an interrupted and resumed run ends with the same file, to the byte, as one that was never stopped. Speed is logged
to `timings.jsonl`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from trm_cli.data.files.json_file import parse_json
from trm_cli.errors import DatasetError


class JsonLines:
    """An append-only file of JSON objects that each carry the global `step`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)
        self._pending = b""

    def write(self, record: dict[str, Any]) -> None:
        """Append one record; it survives a kill of this process from here on.

        What a full disk does not take is kept and written first at the next call; `sync` raises the error.
        """
        self._pending += json.dumps(record, allow_nan=True).encode() + b"\n"
        with suppress(OSError):
            self._flush()

    def sync(self) -> None:
        """Make all records survive a power loss; called before the checkpoint that they belong to is committed.

        Raises OSError where the disk fails.
        """
        self._flush()
        os.fsync(self._file.fileno())

    def _flush(self) -> None:
        while self._pending:
            self._pending = self._pending[self._file.write(self._pending) :]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class NullLog:
    """A log that discards its records: of every process but the first, which logs the same."""

    def write(self, record: dict[str, Any]) -> None:
        """Discard a record."""

    def sync(self) -> None:
        """Do nothing: there are no records."""

    def close(self) -> None:
        """Do nothing: no file is open."""


def continue_log(path: Path, *, step: int, evaluated_step: int, notify: Callable[[str], None]) -> JsonLines:
    """Open a log and truncate it to where a resumed run continues; damaged lines are reported and kept."""
    damaged = truncate_after(path, step=step, evaluated_step=evaluated_step)
    if damaged:
        notify(f"{path} has damaged lines, which are kept: {damaged:,}")
    return JsonLines(path)


def truncate_after(path: Path, *, step: int, evaluated_step: int) -> int:
    """Truncate what a resumed run writes again: lines after `step`, evaluations after `evaluated_step`, a torn line.

    Returns how many damaged lines precede good ones; those are kept, since no copy of them exists.
    """
    if not path.exists():
        return 0
    position = end = unreadable = damaged = 0
    with path.open("rb") as file:
        for line in file:
            position += len(line)
            record = _parse(line)
            if record is None:
                unreadable += 1
                continue
            if record["step"] > (evaluated_step if record.get("kind") == "eval" else step):
                break
            end, damaged = position, unreadable
    os.truncate(path, end)
    return damaged


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read all complete records of a file, oldest first."""
    with path.open("rb") as file:
        return [record for line in file if (record := _parse(line)) is not None]


def _parse(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = parse_json(line, "a record")
    except DatasetError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("step"), int) else None
