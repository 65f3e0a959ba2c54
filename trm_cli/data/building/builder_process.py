"""Run a dataset builder as a subprocess: read its progress, forward signals, turn its exit code into an error.

Nothing is drawn here: progress and messages go to the functions that the caller gives.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import IO

from trm_cli.data.building import builder_command
from trm_cli.data.building.builder_cli import HINT_MARK
from trm_cli.data.building.builder_command import builder_environment
from trm_cli.ending_signals import ending_signals, handled
from trm_cli.errors import DatasetError, ExitCode, TrmError, UsageError
from trm_cli.shell import command_line

_log = logging.getLogger(__name__)
_CONTINUES = "what was finished is kept; the same command continues"
_POLL_SECONDS = 0.2
_FLAG = re.compile(r"(?:unrecognized arguments: |argument )?(--[A-Za-z][A-Za-z0-9_-]*)")  # of argparse
_LAST_WORDS_SECONDS = 2.0


class BuildStopped(TrmError):
    """The build was ended by a signal."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(message, hint=_CONTINUES)
        self.exit_code = code


class BuilderFlagError(UsageError):
    """The builder did not accept one of its flags, or its value."""

    def __init__(self, reason: str, flag: str) -> None:
        reason, _, meant = reason.removesuffix(" (see --help)").partition(": did you mean ")
        unknown = reason.startswith("unrecognized")
        hint = f"did you mean `dataset_args.{_key_of(meant.rstrip('?'))}`?" if meant else None
        super().__init__(f"the builder knows no {flag}" if unknown else f"the builder says: {reason}", hint=hint)
        self.name = _key_of(flag)  # in `dataset_args`


def _key_of(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


@dataclass(frozen=True)
class BuildProgress:
    """One report of a builder: `done` of `total` units; `note` where something happened."""

    done: int
    total: int
    unit: str
    note: str = ""


def run_build(
    command: Sequence[str],
    on_progress: Callable[[BuildProgress], None] = lambda _: None,
    on_line: Callable[[str], None] = lambda _: None,
) -> None:
    """Run a builder to its end in this process' foreground; signals to end are passed on. Raises TrmError."""
    process = BuilderProcess(command)
    with forwarded_signals(process):
        try:
            process.wait(on_progress, on_line)
        finally:
            if process.running:
                process.stop()


@dataclass
class BuilderProcess:
    """A running builder. `trm train` keeps one in the background while it trains on the chunks that are finished."""

    command: Sequence[str]
    output: str = ""
    stopped_by: int | None = None
    _events: queue.SimpleQueue[BuildProgress | str | None] = field(default_factory=queue.SimpleQueue)
    _last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=20))

    def __post_init__(self) -> None:
        builder_command.before_start(self.command)
        try:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=builder_environment(self.command),
                # A session of its own: Ctrl-C reaches this process alone, which passes it on, once.
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError(f"the builder {self.command[0]} cannot be started: {error.strerror}") from error
        _log.info("started builder %d: %s", self._process.pid, command_line(*self.command))
        self._open_streams = 2
        self._readers: list[threading.Thread] = []
        for stream, reader in ((self._process.stdout, self._read_output), (self._process.stderr, self._read_errors)):
            assert stream is not None
            self._readers.append(threading.Thread(target=reader, args=(stream,), daemon=True))
            self._readers[-1].start()

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Return whether the builder has not ended yet."""
        return self._process.poll() is None

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ask the builder to end; what it has finished stays."""
        self.stopped_by = number
        if self.running:
            self._process.send_signal(number)

    def events(self, patience: float = 0.0) -> Iterator[BuildProgress | str]:
        """Yield the builder's reports since the last call; patience: seconds to wait for each."""
        while self._open_streams:
            try:
                event = self._events.get(timeout=patience)
            except queue.Empty:
                return
            if event is None:
                self._open_streams -= 1
            else:
                yield event

    def join_readers(self) -> None:
        """Read the remaining output of an ended builder, for a limited time: a worker process may outlive it."""
        for reader in self._readers:
            reader.join(_LAST_WORDS_SECONDS)

    def wait(
        self,
        on_progress: Callable[[BuildProgress], None] = lambda _: None,
        on_line: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Forward the builder's output until it ends. Raises TrmError when it failed."""
        while self._open_streams:
            for event in self.events(_POLL_SECONDS):
                if isinstance(event, BuildProgress):
                    on_progress(event)
                else:
                    on_line(event)
        self._process.wait()
        _log.info("builder %d ended with exit code %d", self._process.pid, self._process.returncode)
        self.require_success()

    def require_success(self) -> None:
        """Raise the error for the exit code of an ended builder, with its last line of output as the reason."""
        code = self._process.returncode
        if code:
            raise error_of_exit(code, self._last_lines[-1] if self._last_lines else "", self.stopped_by)

    def _read_output(self, stream: IO[str]) -> None:
        kept: list[str] = []
        with stream:
            for line in stream:
                progress = parse_progress(line)
                if progress is not None:
                    self._events.put(progress)
                else:
                    kept.append(line)
                    self._events.put(line.rstrip("\n"))
        self.output = "".join(kept)
        self._events.put(None)

    def _read_errors(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                text = line.rstrip()
                _, is_error, reason = text.partition(": error: ")
                if is_error:
                    # Told by the exception that it becomes; told here as well it would be read twice.
                    self._last_lines.append(reason)
                elif text:
                    self._last_lines.append(text)
                    self._events.put(text)
        self._events.put(None)


def error_of_exit(code: int, reason: str, stopped_by: int | None = None) -> TrmError:
    """Return the error for a builder's exit code. reason: its last output line. stopped_by: the signal sent to it."""
    if code in (ExitCode.INTERRUPTED, -signal.SIGINT) or stopped_by == signal.SIGINT:
        return BuildStopped("the build was interrupted", ExitCode.INTERRUPTED)
    if code in (ExitCode.TERMINATED, -signal.SIGTERM) or stopped_by == signal.SIGTERM:
        return BuildStopped("the build was stopped", ExitCode.TERMINATED)
    reason, _, hint = (reason or "it gave no reason").partition(HINT_MARK)
    if code < 0:
        return TrmError(f"the builder was killed by signal {-code}", hint=_CONTINUES)
    if code == ExitCode.USAGE and (flag := _FLAG.match(reason)):
        return BuilderFlagError(reason, flag[1])
    if code == ExitCode.USAGE:
        return UsageError(f"the builder did not accept its flags: {reason}", hint=hint or None)
    if code == ExitCode.DATASET:
        return DatasetError(reason, hint=hint or None)
    return TrmError(f"the builder failed with exit code {code}: {reason}", hint=hint or None)


def parse_progress(line: str) -> BuildProgress | None:
    """Read one line of a builder's stdout; None where it is no progress report."""
    if not line.startswith("{"):
        return None
    try:
        document = json.loads(line)
        return BuildProgress(
            int(document["done"]), int(document["total"]), str(document["unit"]), str(document.get("note", ""))
        )
    # A builder may print anything: brackets without an end, a number that is none.
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


@contextmanager
def forwarded_signals(process: BuilderProcess) -> Iterator[None]:
    """While the block runs, SIGINT, SIGTERM and SIGHUP stop the builder, which then ends the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def forward(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # signature of a signal handler
        process.stop(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)

    with handled(forward, signal.SIGINT, *ending_signals()):
        yield
