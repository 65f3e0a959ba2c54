"""Write the heartbeat of a running builder, and read it while training waits for data. Standard library only.

It lies beside the content, not in it, and is removed when the build is complete: a finished dataset does not depend on
how often, when or where it was built.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from trm_cli.data.files.json_file import read_json
from trm_cli.data.stream.storage.plan import FOLDER
from trm_cli.errors import DatasetError

INTERVAL_SECONDS = 1.0
# A builder that gave no sign for this long is taken for dead; on the same machine its process is asked first.
SILENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Beat:
    """One heartbeat: the builder's process, its time (seconds since the epoch), and the records built so far.

    started: when the process began, in the system's own words: a process id is given again, after a restart at the
    latest. Empty where the system does not say, and in heartbeats of older versions.
    """

    pid: int
    host: str
    time: float
    done: int
    total: int
    error: str = ""
    started: str = ""

    @property
    def alive(self) -> bool:
        """Whether the builder is still running, as far as can be told."""
        if self.error:
            return False
        if self.host == socket.gethostname():
            return _process_exists(self.pid) and self._is_the_same_process()
        return time.time() - self.time < SILENCE_SECONDS

    def _is_the_same_process(self) -> bool:
        now = _start_of(self.pid)
        # Without a start in both, the heartbeat's age decides: its thread writes every second.
        return self.started == now if self.started and now else time.time() - self.time < SILENCE_SECONDS


class Heartbeat:
    """Writes the heartbeat every second from a separate thread, so that a long download does not look like a crash."""

    def __init__(self, root: Path, name: str) -> None:
        self._path = root / FOLDER / f"heartbeat{name}.json"
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._started = False
        self.progress: Callable[[], tuple[int, int]] = lambda: (0, 0)

    def start(self) -> None:
        """Write a heartbeat now and one every second until `pause` or `stop`."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._write("")
        self._started = True
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, daemon=True, name="heartbeat")
        self._thread.start()

    def pause(self) -> None:
        """End the thread and leave the last heartbeat in place."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def stop(self, error: str = "") -> None:
        """Remove the heartbeat, or replace it by the reason for which the build ended. Does nothing before `start`."""
        self.pause()
        if self._started and error:
            self._write(error)
        elif self._started:
            self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_SECONDS):
            try:
                self._write("")
            except OSError:
                # A full disk: the builder itself will say so; nobody is helped by a second voice.
                continue

    def _write(self, error: str) -> None:
        done, total = self.progress()
        beat = Beat(os.getpid(), socket.gethostname(), time.time(), done, total, error, _start_of(os.getpid()))
        temporary = self._path.with_name(f".{self._path.name}.tmp")
        # Not flushed to disk: after a power cut nobody is alive anyway.
        temporary.write_text(json.dumps(asdict(beat)), encoding="utf-8")
        temporary.replace(self._path)


def read_beats(root: str | Path) -> list[Beat]:
    """Return the heartbeats of all builders (shards) of a dataset; none when nobody builds it."""
    beats = []
    for path in sorted(Path(root, FOLDER).glob("heartbeat*.json")):
        try:
            beats.append(Beat(**read_json(path)))
        except (DatasetError, TypeError):
            # Removed or replaced between the listing and the reading.
            continue
    return beats


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _stat(pid)[:1] != ["Z"]  # a zombie has ended, but nobody has waited for it yet


def _start_of(pid: int) -> str:
    """When a process began: the boot of the system and the ticks since then; empty where /proc is missing."""
    fields = _stat(pid)
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return f"{boot} {fields[19]}" if len(fields) > 19 else ""


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on, the state; none where there is no such file."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []
