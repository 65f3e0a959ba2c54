"""Run a builder in the background while training reads the chunks that are finished. Standard library only.

Whether a builder writes a stream need not be known beforehand: training may begin as soon as a stream's plan and first
chunk are there, and with any other format when the builder has ended.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from trm_cli.data.building.builder_process import BuilderProcess, BuildProgress, forwarded_signals
from trm_cli.data.files.manifest import Manifest, read_manifest
from trm_cli.data.stream.storage.heartbeat import read_beats
from trm_cli.data.stream.storage.plan import chunks_from_json
from trm_cli.data.stream.storage.waiting import WaitCancelled, Waiting
from trm_cli.errors import DatasetError, TrmError

#: A trainer gives up when the builder has made no progress for this long; a slow source may well need minutes.
PATIENCE_SECONDS = 900.0
_LOOK_SECONDS = 0.1
_STOP_SECONDS = 30.0
_WORD_SECONDS = 60.0
# The trainer is what somebody waits for: where both want the same core, it comes first.
_NICENESS = 5


class LiveBuild:
    """A build that runs during training: in a new process, or in one that was already building the directory.

    on_progress and on_line receive the builder's output, from whichever thread looks; they may be replaced at any
    time, as may `notice` (sentences of a reader that waits) and `cancelled` (whether such a wait should end).
    As a context manager it leaves no builder of its own behind.
    """

    def __init__(
        self,
        root: str | Path,
        command: Sequence[str],
        on_progress: Callable[[BuildProgress], None] = lambda _: None,
        on_line: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.root = Path(root)
        self.on_progress = on_progress
        self.on_line = on_line
        self.notice: Callable[[str], None] = lambda _: None
        self.cancelled: Callable[[], bool] = lambda: False
        self.progress: BuildProgress | None = None
        self.failure: TrmError | None = None
        self._command = command
        self._lock = threading.Lock()
        self._silent_looks = 0
        self._next_word = time.monotonic() + _WORD_SECONDS
        self._process: BuilderProcess | None = None
        if not self._is_built_elsewhere():
            self._start()

    def __enter__(self) -> LiveBuild:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def process_id(self) -> int | None:
        """The builder's process id; None where this process has not started it."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """Return whether a builder of ours is at work."""
        return self._process is not None and self._process.running

    def waiting(self, limit: float = PATIENCE_SECONDS) -> Waiting:
        """Return how a reader of this dataset waits: the builder's death or a cancelled wait ends the wait at once."""
        return Waiting(limit, lambda text: self.notice(text), self._works)

    def until_ready(self) -> bool:
        """Return True when training can begin while the builder continues, False when the build is complete.

        SIGINT and SIGTERM are passed on to the builder. Raises the builder's error.
        """
        # A report says that the builder has accepted what it found; before that a plan may be one of old.
        return self._until(lambda: self.progress is not None and _first_chunk_is_there(self.root), "its first chunk")

    def until_complete(self) -> None:
        """Return when the build is complete. SIGINT and SIGTERM are passed on to the builder. Raises its error."""
        self._until(lambda: False, "the end of its build")

    def _until(self, ready: Callable[[], bool], awaited: str) -> bool:
        with nullcontext() if self._process is None else forwarded_signals(self._process):
            while self.look():
                if ready():
                    return True
                self._pause(awaited)
        if self.failure is not None:
            raise self.failure
        return False

    def look(self) -> bool:
        """Forward the builder's output since the last call; return False when it has ended (`failure` says how)."""
        with self._lock:
            if self._process is None:
                return self._look_elsewhere()
            # Asked first: what it says between the two questions would be lost otherwise.
            running = self._process.running
            if not running:
                self._process.join_readers()
            for event in self._process.events():
                if isinstance(event, BuildProgress):
                    self.progress = event
                    self.on_progress(event)
                else:
                    self.on_line(event)
            if not running and self.failure is None:
                try:
                    self._process.require_success()
                except TrmError as error:
                    self.failure = error
            return running

    def stop(self) -> bool:
        """End a builder of ours, which keeps what is finished; False where none is at work."""
        if self._process is None or not self._process.running:
            return False
        self._process.stop(signal.SIGTERM)
        until = time.monotonic() + _STOP_SECONDS
        while self._process.running and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        if self._process.running:
            self._process.stop(signal.SIGKILL)
        return True

    def _pause(self, awaited: str) -> None:
        """Between two looks; once a minute say what another process' build is waited for."""
        time.sleep(_LOOK_SECONDS)
        if self._process is None and time.monotonic() > self._next_word:
            self._next_word = time.monotonic() + _WORD_SECONDS
            builders = ", ".join(f"process {beat.pid} on {beat.host}" for beat in read_beats(self.root) if beat.alive)
            self.on_line(f"waiting for {awaited}: {self.root} is being built by {builders or 'nobody any more'}")

    def _start(self) -> None:
        self._process = BuilderProcess(self._command)
        with suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _NICENESS)

    def _is_built_elsewhere(self) -> bool:
        return any(beat.alive for beat in read_beats(self.root))

    def _look_elsewhere(self) -> bool:
        """As `look`, for a build that another process began; where that one has died, start our own builder."""
        beats = read_beats(self.root)
        if any(beat.alive for beat in beats):
            self._silent_looks = 0
            done, total = sum(beat.done for beat in beats), max(beat.total for beat in beats)
            # Before it has planned, a builder does not know how much there is.
            if total and (self.progress is None or self.progress.done != done):
                self.progress = BuildProgress(done, total, "records")
                self.on_progress(self.progress)
            return True
        if _is_complete(self.root):
            return False
        self._silent_looks += 1
        # Two looks: between the last chunk and the end of a build there is a moment without a heartbeat.
        if self._silent_looks > 1:
            self.on_line(f"the process that built {self.root} is gone: its build is continued here")
            self._start()
        return True

    def _works(self) -> bool:
        """The answer to a reader that waits. Raises DatasetError for a builder that died, WaitCancelled."""
        if self.cancelled():
            raise WaitCancelled
        works = self.look()
        if self.failure is not None:
            raise DatasetError(
                f"the builder of {self.root} ended before the data was complete: {self.failure.message}",
                hint="what was built and trained is kept; the same command continues both",
            )
        return works


def _manifest(root: Path) -> Manifest | None:
    try:
        return read_manifest(root)
    except DatasetError:
        # A damaged one is the builder's to report.
        return None


def _is_complete(root: Path) -> bool:
    manifest = _manifest(root)
    return manifest is not None and manifest.state == "complete"


def _first_chunk_is_there(root: Path) -> bool:
    """Return whether the directory holds the plan of a stream, and the first chunk of its training split."""
    manifest = _manifest(root)
    if manifest is None or "chunks" not in manifest.planned:
        return False
    chunks = chunks_from_json(manifest.planned["chunks"], str(root))
    first = [chunk.file for chunk in chunks if chunk.split == "train" and chunk.number == 0]
    return bool(first) and first[0] in manifest.files
