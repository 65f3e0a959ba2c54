"""Handle signals: SIGINT, SIGTERM and SIGHUP save and stop a run, SIGUSR1 saves and continues.

They set a flag that the loop reads at every step, between evaluation batches and while it waits for data. A signal
handler must not save anything itself: it may run in the middle of an update. A second SIGINT exits at once.

Before the loop there is nothing to save: `starting` handles signals until then.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from trm_cli.ending_signals import ending_signals, handled
from trm_cli.errors import ExitCode

#: A live panel hides the cursor, and a process that exits at once would not show it again.
_SHOW_CURSOR = b"\x1b[?25h\n"
#: Requests to end that `starting` has received.
_before_the_loop: list[ExitCode] = []


@contextmanager
def starting() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP exit with the status that asks a scheduler for a restart.

    SIGUSR1 is ignored. Without it all would kill the process, with undocumented statuses. Can also decorate a command.
    The exit may be lost: Python drops what is raised in a finalizer or a callback. A `StopRequest` then knows of it.
    """

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        _before_the_loop.append(ExitCode.TERMINATED)
        raise SystemExit(ExitCode.TERMINATED)

    with handled(end, *ending_signals()), handled(signal.SIG_IGN, signal.SIGUSR1):
        yield


class StopRequest:
    """A context manager that records the first SIGINT, SIGTERM or SIGHUP, and every SIGUSR1, as a request.

    stop_when: asked at every step of a run of one process; where it is true the run saves and stops, done.
    """

    def __init__(self, stop_when: Callable[[], bool] = lambda: False) -> None:
        self._received: ExitCode | None = None
        self._stop_when = stop_when
        #: A checkpoint is requested; reset by whoever has tried to write it.
        self.save_wanted = False
        #: The run has failed: a reader that still waits for data should give up.
        self.failed = False
        self._interrupted = False
        self._handlers = ExitStack()

    @property
    def exit_code(self) -> ExitCode | None:
        """The exit code of the run, once it should end; None before."""
        return ExitCode.DONE if self._received is None and self._stop_when() else self._received

    def __bool__(self) -> bool:
        """True once the run should save and stop."""
        return self.exit_code is not None

    def __enter__(self) -> StopRequest:
        self._handlers.enter_context(handled(self._receive, signal.SIGINT, *ending_signals(), signal.SIGUSR1))
        if _before_the_loop:
            self._received = _before_the_loop[0]
            _before_the_loop.clear()
        return self

    def __exit__(self, *error: object) -> None:
        self._handlers.close()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGUSR1:
            self.save_wanted = True
            return
        if number in (signal.SIGTERM, signal.SIGHUP):
            self._received = ExitCode.TERMINATED
            return
        if self._interrupted:
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), _SHOW_CURSOR)
            os._exit(ExitCode.INTERRUPTED)
        self._interrupted = True
        self._received = ExitCode.INTERRUPTED
