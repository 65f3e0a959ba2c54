"""What signals ask of a run: SIGINT and SIGTERM to save and stop, SIGUSR1 to save and go on.

They set a flag that the loop reads at every step, between evaluation batches and while it waits for data. A signal
handler must not save anything itself: it may run in the middle of an update. A second SIGINT leaves at once.

Before the loop a signal finds a process that imports, plans or reads, with nothing to save: `starting` is for that.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from trm_cli.errors import ExitCode

#: A live panel hides the cursor, and nothing else will bring it back to a process that leaves at once.
_SHOW_CURSOR = b"\x1b[?25h\n"


@contextmanager
def starting() -> Iterator[None]:
    """SIGTERM ends the block with the status that asks a scheduler for another start; SIGUSR1 does nothing.

    Without it both kill the process, with statuses that are not documented. Decorates a command as well.
    """

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise SystemExit(ExitCode.TERMINATED)

    terminated, user = signal.signal(signal.SIGTERM, end), signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, terminated)
        signal.signal(signal.SIGUSR1, user)


class StopRequest:
    """A context manager that turns the first SIGINT or SIGTERM, and every SIGUSR1, into a polite request."""

    def __init__(self) -> None:
        self.exit_code: ExitCode | None = None
        #: A checkpoint is wanted now; whoever has tried to write it sets this back.
        self.save_wanted = False
        #: The run has failed: data that somebody still waits for is not wanted any more.
        self.failed = False
        self._interrupted = False
        self._previous: dict[int, object] = {}

    def __bool__(self) -> bool:
        """True once the run should save and stop."""
        return self.exit_code is not None

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGUSR1:
            self.save_wanted = True
            return
        if number == signal.SIGTERM:
            self.exit_code = ExitCode.TERMINATED
            return
        if self._interrupted:
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), _SHOW_CURSOR)
            os._exit(ExitCode.INTERRUPTED)
        self._interrupted = True
        self.exit_code = ExitCode.INTERRUPTED
