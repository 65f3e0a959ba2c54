"""Show progress bars on a terminal, and a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trm_cli.console.output import FIRST_LINE_SECONDS, LINE_SECONDS, note, stderr
from trm_cli.units import duration
from trm_cli.workflows.observers import EvaluationObserver


@contextmanager
def counting(total: int, noun: str) -> Iterator[Callable[[int], None]]:
    """Show a progress bar; within the block, call the yielded function with the number of newly finished items."""
    console = stderr()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn("left"))
    bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(noun, total=total)
    done, last = 0, _first_line()

    def advance(more: int) -> None:
        nonlocal done, last
        done += more
        bar.update(task, completed=done)
        if not console.is_terminal and time.monotonic() - last > LINE_SECONDS:
            last = time.monotonic()
            note(f"{done:,} of {total:,} {noun}")

    with bar:
        yield advance


def _first_line() -> float:
    """Return when a line would have been printed last, so that the first one comes after FIRST_LINE_SECONDS."""
    return time.monotonic() - LINE_SECONDS + FIRST_LINE_SECONDS


class EvaluationScreen(EvaluationObserver):
    """Shows an evaluation on stderr."""

    def note(self, message: str) -> None:
        """Print a message."""
        note(message)

    @contextmanager
    def scoring(self, title: str, rows: int) -> Iterator[Callable[[int, bool], None]]:
        """Show the number of scored rows. The rate counts the rows that this process has scored itself."""
        console, columns = stderr(), (BarColumn(), MofNCompleteColumn(), TextColumn("rows  {task.fields[speed]}"))
        bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        task = bar.add_task("", total=rows, speed="")
        done = scored_before = 0
        started, last = time.monotonic(), _first_line()

        def advance(now_done: int, found: bool) -> None:
            nonlocal done, scored_before, last
            scored_before += now_done - done if found else 0
            done = now_done
            now = time.monotonic()
            speed = (done - scored_before) / max(now - started, 1e-9)
            left = f", ETA {duration((rows - done) / speed)}" if speed else ""
            bar.update(task, completed=done, speed=f"{speed:,.0f}/s{left}")
            if not console.is_terminal and now - last > LINE_SECONDS and done < rows:
                last = now
                note(f"{done:,} of {rows:,} rows, {speed:,.0f} a second{left}")

        note(title)
        with bar:
            yield advance
        if done == rows:
            kept = f" ({scored_before:,} of them scored before)" if scored_before else ""
            note(f"{done:,} rows in {duration(time.monotonic() - started)}{kept}")
