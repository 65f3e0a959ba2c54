"""Run worker processes that share what the parent has read, and that end when it ends.

Forked, so that nothing is read or sent twice. A worker keeps no descriptor of its parent but its own pipe: otherwise it
would hold the parent's lock on the directory, and keep its brothers' pipes open, after the parent was killed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Generic, TypeVar

from trm_cli.errors import TrmError

Item = TypeVar("Item")
# Enough that a worker never waits for the parent, few enough that nothing piles up behind a slow disk.
_AHEAD = 2
_MAX_DESCRIPTORS = 65_536
_PATIENCE_SECONDS = 10.0


class ForkPool(Generic[Item]):
    """Runs `function` on items in `workers` processes, which start at once; one worker works in this process."""

    def __init__(self, function: Callable[[Item], object], items: Sequence[Item], workers: int) -> None:
        self._function = function
        self._items = items
        self._workers: list[tuple[Connection, multiprocessing.process.BaseProcess]] = []
        count = min(workers, len(items))
        context = multiprocessing.get_context("fork")
        for _ in range(count if count > 1 else 0):
            mine, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, function, items), daemon=True)
            process.start()
            # Kept open here, the end of the process would not be seen as the end of the pipe.
            theirs.close()
            self._workers.append((mine, process))

    def __enter__(self) -> ForkPool[Item]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection, _ in self._workers:
            connection.close()
        for _, process in self._workers:
            process.join(_PATIENCE_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()

    def run(self) -> Iterator[Item]:
        """Yield each item when it is done, in any order. Raises the first error of any worker."""
        if not self._workers:
            for item in self._items:
                self._function(item)
                yield item
            return
        waiting = iter(range(len(self._items)))
        open_items = 0
        processes = dict(self._workers)
        for connection in list(processes) * _AHEAD:
            open_items += _send_next(connection, waiting)
        while open_items:
            for ready in wait(list(processes)):
                assert isinstance(ready, Connection)
                try:
                    index, error = ready.recv()
                except EOFError:
                    process = processes[ready]
                    process.join(_PATIENCE_SECONDS)
                    raise TrmError(
                        f"a worker process died (exit code {process.exitcode})",
                        hint="out of memory? try fewer --workers; the same command continues",
                    ) from None
                if error is not None:
                    raise error
                open_items += _send_next(ready, waiting) - 1
                yield self._items[index]


def _send_next(connection: Connection, waiting: Iterator[int]) -> int:
    """Give a worker the next item; returns how many were given."""
    index = next(waiting, None)
    if index is None:
        return 0
    try:
        connection.send(index)
    except BrokenPipeError:
        # It died; reading from it says so.
        return 1
    return 1


def _serve(connection: Connection, function: Callable[[Item], object], items: Sequence[Item]) -> None:
    """Work until the parent closes the pipe, by ending or by dying."""
    os.closerange(3, connection.fileno())
    os.closerange(connection.fileno() + 1, _MAX_DESCRIPTORS)
    # Ctrl-C reaches every process of the terminal; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        while True:
            index = connection.recv()
            error: Exception | None = None
            try:
                function(items[index])
            except (TrmError, OSError) as problem:
                error = problem
            except Exception as problem:  # noqa: BLE001  whatever it is, the parent must hear of it
                error = RuntimeError(f"{type(problem).__name__}: {problem}\n{traceback.format_exc()}")
            connection.send((index, error))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        # Not sys.exit: what the parent had registered to run at its end is not ours to run.
        os._exit(0)
