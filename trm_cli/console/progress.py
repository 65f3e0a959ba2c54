"""Show progress bars on a terminal, and a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from textwrap import fill

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn

from trm_cli.console.output import FIRST_LINE_SECONDS, LINE_SECONDS, note, stderr
from trm_cli.units import duration
from trm_cli.workflows.observers import EvaluationObserver


def transient_bar(*columns: ProgressColumn) -> Progress:
    """Make a progress bar on stderr that leaves nothing behind, and is not drawn without a terminal."""
    console = stderr()
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def counting(total: int, noun: str) -> Iterator[Callable[..., None]]:
    """Show how many items are done, how fast, and when it ends.

    Within the block, call the yielded function with the number of newly finished items; known=True: an earlier process
    has finished them, so that they say nothing of the speed.
    """
    bar = transient_bar(BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    task = bar.add_task(noun, total=total)
    done = counted = 0
    started = time.monotonic()
    next_line = started + FIRST_LINE_SECONDS

    def advance(more: int, *, known: bool = False) -> None:
        nonlocal done, counted, next_line
        done += more
        counted += 0 if known else more
        now = time.monotonic()
        speed = counted / max(now - started, 1e-9)
        left = f", ETA {duration((total - done) / speed)}" if speed else ""
        bar.update(task, completed=done, description=f"{noun}  {speed:,.0f}/s{left}")
        if bar.disable and now > next_line and done < total:
            next_line = now + LINE_SECONDS
            note(f"{done:,} of {total:,} {noun}, {speed:,.0f} a second{left}")

    with bar:
        yield advance


class EvaluationScreen(EvaluationObserver):
    """Shows an evaluation on stderr."""

    def note(self, message: str) -> None:
        """Print a message."""
        note(message)

    @contextmanager
    def scoring(self, title: str, rows: int) -> Iterator[Callable[[int, bool], None]]:
        """Show the number of scored rows. The rate counts the rows that this process has scored itself."""
        done = scored_before = 0
        started = time.monotonic()

        def advance(now_done: int, found: bool) -> None:
            nonlocal done, scored_before
            count(now_done - done, known=found)
            scored_before += now_done - done if found else 0
            done = now_done

        for line in title.splitlines():  # wrapped between words: a path stays whole
            note(fill(line, stderr().width, break_long_words=False, break_on_hyphens=False))
        with counting(rows, "rows") as count:
            yield advance
        if done == rows:
            kept = f" ({scored_before:,} of them scored before)" if scored_before else ""
            note(f"{done:,} rows in {duration(time.monotonic() - started)}{kept}")
