"""Stop requests: SIGINT and SIGTERM set a flag that the loop reads at every step and between evaluation batches.

A signal handler must not save anything itself: it may run in the middle of an update. A second SIGINT leaves at once.
"""

from __future__ import annotations

import os
import signal
from types import FrameType, TracebackType

from trm_cli.errors import ExitCode


class StopRequest:
    """A context manager that turns the first SIGINT or SIGTERM into a polite request."""

    def __init__(self) -> None:
        self.exit_code: ExitCode | None = None
        self._previous: dict[int, object] = {}

    def __bool__(self) -> bool:
        """True once the run should save and stop."""
        return self.exit_code is not None

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGINT and self.exit_code is ExitCode.INTERRUPTED:
            os._exit(ExitCode.INTERRUPTED)
        self.exit_code = ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED
