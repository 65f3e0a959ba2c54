"""Count the seconds that the processes of one adaptation have used, together: a killed one counts as well, and so does
the time that a process has needed to load its modules."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

from trm_cli.data.files.json_file import read_json
from trm_cli.errors import DatasetError

#: A process that is killed loses at most this much of its count.
_TICK_SECONDS = 0.5


class Stopwatch:
    """A context manager that goes on from the seconds in a file, and notes them there while it runs.

    loading: seconds that this process has used before.
    """

    def __init__(self, path: Path, loading: float = 0.0) -> None:
        self._path = path
        self._before = read_seconds(path) + loading
        self._started = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="stopwatch", daemon=True)

    def seconds(self) -> float:
        """Seconds used so far, by this process and those before it."""
        return self._before + time.monotonic() - self._started

    def __enter__(self) -> Stopwatch:
        self._write()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        self._write()

    def _tick(self) -> None:
        while not self._ended.wait(_TICK_SECONDS):
            self._write()

    def _write(self) -> None:
        """Renamed, so that it is there whole; not synchronised: only a process is expected to die."""
        beside = self._path.with_name(self._path.name + ".new")
        try:
            beside.write_text(json.dumps({"seconds": round(self.seconds(), 3)}))
            beside.replace(self._path)
        except OSError:
            return  # a full disk is reported by what needs it more


def process_age() -> float:
    """Seconds since this process began; 0 where the system does not say (Linux does)."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # since the machine began
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began)
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0


def read_seconds(path: Path) -> float:
    """The seconds in the file of a stopwatch; 0 where there is none."""
    try:
        return float(read_json(path)["seconds"])
    except (DatasetError, KeyError, TypeError, ValueError):
        return 0.0
