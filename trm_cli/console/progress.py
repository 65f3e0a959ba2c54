"""Progress bars on a terminal; elsewhere a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trm_cli.console.output import LINE_SECONDS, note, stderr
from trm_cli.units import duration
from trm_cli.workflows.observers import EvaluationObserver


@contextmanager
def counting(total: int, noun: str) -> Iterator[Callable[[int], None]]:
    """Show a progress bar; within the block, call the yielded function with the number of newly finished items."""
    console = stderr()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn("left"))
    bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(noun, total=total)
    done, last = 0, time.monotonic()

    def advance(more: int) -> None:
        nonlocal done, last
        done += more
        bar.update(task, completed=done)
        if not console.is_terminal and time.monotonic() - last > LINE_SECONDS:
            last = time.monotonic()
            note(f"{done:,} of {total:,} {noun}")

    with bar:
        yield advance


class EvaluationScreen(EvaluationObserver):
    """Shows an evaluation on stderr."""

    def note(self, message: str) -> None:
        """Print a message."""
        note(message)

    def scoring(self, title: str, rows: int) -> EvaluationProgress:
        """Return the progress bar of the evaluation."""
        return EvaluationProgress(title, rows)


class EvaluationProgress:
    """Show the number of scored rows on stderr. The rate counts the rows that this process has scored itself."""

    def __init__(self, title: str, rows: int) -> None:
        self._title = title
        self._rows = rows
        self._done = self._found = 0
        self._started = self._spoke = time.monotonic()
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("rows  {task.fields[speed]}"))
        self._bar = Progress(*columns, console=stderr(), transient=True, disable=not stderr().is_terminal)
        self._task = self._bar.add_task("", total=rows, speed="")

    def __enter__(self) -> Callable[[int, bool], None]:
        note(self._title)
        self._bar.start()
        return self.advanced

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()
        seconds = time.monotonic() - self._started
        if self._done == self._rows:
            kept = f" ({self._found:,} of them scored before)" if self._found else ""
            note(f"{self._done:,} rows in {duration(seconds)}{kept}")

    def advanced(self, done: int, found: bool) -> None:
        """Update the bar: `done` rows have a result; found: the latest of them had one already."""
        if found:
            self._found += done - self._done
        self._done = done
        now = time.monotonic()
        own = done - self._found
        speed = own / max(now - self._started, 1e-9)
        left = f", ETA {duration((self._rows - done) / speed)}" if own else ""
        self._bar.update(self._task, completed=done, speed=f"{speed:,.0f}/s{left}")
        if not stderr().is_terminal and now - self._spoke > LINE_SECONDS and done < self._rows:
            self._spoke = now
            note(f"{done:,} of {self._rows:,} rows, {speed:,.0f} a second{left}")
