"""Write and read `metrics.jsonl`: one JSON object a logged step or evaluation, independent of machine and wall time.

So an interrupted and resumed run ends with the same file, to the byte, as one that was never stopped. Speed is logged
to `timings.jsonl`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from trm_cli.data.files.durable import atomic_file, sync_file, write_atomically
from trm_cli.data.files.json_file import parse_json
from trm_cli.data.files.regular_file import open_regular, require_regular
from trm_cli.errors import DatasetError

_BLOCK_BYTES = 1 << 20
Notify = Callable[[str], None]


class JsonLines:
    """An append-only file of JSON objects that each carry the global `step`. Opening it raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pending = b""
        self._open()

    def _open(self) -> None:
        with suppress(FileNotFoundError):
            require_regular(self.path)
        self._file = self.path.open("a+b", buffering=0)
        self._size = os.fstat(self._file.fileno()).st_size

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
        sync_file(self._file.fileno())

    def recover(self, notify: Notify) -> None:
        """Report through `notify` that the file was deleted, replaced or changed, and continue with what is left of it.

        A deleted or replaced file is written again from the one that is still open; what lies in its place is kept in
        `damaged_path`.
        """
        own = os.fstat(self._file.fileno())
        try:
            found = self.path.stat() if self.path.exists() else None
            if found is None or not os.path.samestat(found, own):
                if found is not None:
                    with open_regular(self.path) as file:
                        _keep_beside(self.path, file.read())
                self._write_again()
                beside = "" if found is None else f"; what lies in its place is kept in {damaged_path(self.path).name}"
                notify(f"{self.path} was {'deleted' if found is None else 'replaced'} meanwhile: written again{beside}")
            elif own.st_size != self._size:
                notify(
                    f"{self.path} was changed meanwhile: {own.st_size:,} bytes instead of {self._size:,}; "
                    "what is missing is lost, the run goes on"
                )
                self._size = own.st_size
                if own.st_size and os.pread(self._file.fileno(), 1, own.st_size - 1) != b"\n":
                    self._pending = b"\n" + self._pending  # or the next record would be part of a torn line
        except OSError as error:
            notify(f"{self.path} was changed meanwhile and cannot be written again ({error.strerror or error})")

    def _write_again(self) -> None:
        """Copy what the open file holds to a new one under its name."""
        with atomic_file(self.path) as copy:
            place = 0
            while block := os.pread(self._file.fileno(), _BLOCK_BYTES, place):
                copy.write(block)
                place += len(block)
        self._file.close()
        self._open()

    def _flush(self) -> None:
        while self._pending:
            written = self._file.write(self._pending)
            self._pending = self._pending[written:]
            self._size += written

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def continue_log(path: Path, *, step: int, evaluated_step: int, notify: Notify, logged_step: int = 0) -> JsonLines:
    """Open a log and truncate it to where a resumed run continues.

    Damaged lines move to `damaged_path`. logged_step: the step of the last record that the file should have. Both are
    told through `notify`. Raises OSError.
    """
    damaged, last = truncate_after(path, step=step, evaluated_step=evaluated_step, logged_step=logged_step)
    if damaged:
        lines = "1 damaged line" if damaged == 1 else f"{damaged:,} damaged lines"
        notify(f"{path} had {lines}: moved to {damaged_path(path).name}")
    if last < logged_step:
        found = f"ends at step {last:,}" if last else "is missing or empty" if not damaged else "has no whole line"
        notify(f"{path} {found}: records up to step {logged_step:,} are lost; the state of the run is not affected")
    return JsonLines(path)


def truncate_after(path: Path, *, step: int, evaluated_step: int, logged_step: int = 0) -> tuple[int, int]:
    """Truncate what a resumed run writes again: lines after `step`, evaluations after `evaluated_step`, a torn line.

    Returns (how many damaged lines there were, the step of the last training record). No copy of damaged ones exists:
    those that precede good ones, or that come in the place of `logged_step`, are kept in `damaged_path`.
    """
    if not path.exists():
        return 0, 0
    last = 0
    kept: list[bytes] = []
    damaged: list[bytes] = []
    unreadable: list[bytes] = []  # since the last good line
    for line in _lines(path):
        record = _parse(line)
        if record is None:
            unreadable.append(line)
            continue
        evaluation = record.get("kind") == "eval"
        if record["step"] > (evaluated_step if evaluation else step):
            break
        last = last if evaluation else record["step"]
        damaged += unreadable
        unreadable = []
        kept.append(line)
    if last < logged_step:
        damaged += unreadable
    if damaged:
        _keep_beside(path, b"".join(line if line.endswith(b"\n") else line + b"\n" for line in damaged))
        write_atomically(path, b"".join(kept))
    else:
        os.truncate(path, sum(map(len, kept)))
    return len(damaged), last


def damaged_path(path: Path) -> Path:
    """Where the damaged lines of a log are kept."""
    return path.with_suffix(f".damaged{path.suffix}")


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read all complete records of a file, oldest first. Raises OSError."""
    return [record for line in _lines(path) if (record := _parse(line)) is not None]


def _lines(path: Path) -> Iterator[bytes]:
    with open_regular(path) as file:
        yield from file


def _keep_beside(path: Path, data: bytes) -> None:
    with damaged_path(path).open("ab") as file:
        file.write(data)
        file.flush()
        sync_file(file.fileno())


def _parse(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        record = parse_json(line, "a record")
    except DatasetError:
        return None
    return record if isinstance(record, dict) and type(record.get("step")) is int else None
