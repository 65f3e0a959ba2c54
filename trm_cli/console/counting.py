"""Work that is counted: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trm_cli.console.output import note, stderr
from trm_cli.console.views.training import LINE_SECONDS


@contextmanager
def counting(total: int, noun: str) -> Iterator[Callable[[int], None]]:
    """Within the block, the function given says how many more of `total` are done."""
    console = stderr()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("left"))
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
