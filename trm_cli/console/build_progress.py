"""The progress of a dataset builder: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trm_cli.console.output import stderr

if TYPE_CHECKING:
    from trm_cli.data.build import BuildProgress

LINE_SECONDS = 10.0


class BuildView:
    """Shows the progress lines of a builder on stderr."""

    def __init__(self) -> None:
        self._console = stderr()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task("building", total=None, rate="")
        self._started = time.monotonic()
        self._first_done: int | None = None
        self._last_line = time.monotonic()

    def __enter__(self) -> BuildView:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def progressed(self, report: BuildProgress) -> None:
        """Show how far the builder is."""
        now = time.monotonic()
        if self._first_done is None:
            self._first_done, self._started = report.done, now
        seconds = now - self._started
        rate = f"{(report.done - self._first_done) / seconds:,.0f}/s" if seconds > 0.5 else ""
        description = report.note or f"building {report.unit}"
        self._bar.update(self._task, description=description, completed=report.done, total=report.total, rate=rate)
        if not self._console.is_terminal and now - self._last_line > LINE_SECONDS:
            self._last_line = now
            total = f" of {report.total:,}" if report.total else ""
            self._console.print(f"{description}: {report.done:,}{total}  {rate}", markup=False)
