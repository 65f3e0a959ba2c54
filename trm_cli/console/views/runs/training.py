"""Show a run while it trains: a live panel on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from trm_cli.console.output import LINE_SECONDS, stderr
from trm_cli.training.recording.observer import Observer
from trm_cli.units import duration

#: What the panel says in words of its own; every other number of a record stands below these, under its name.
_IN_WORDS = ("step", "loss", "exact_accuracy", "accuracy", "q_halt_accuracy", "picture_accuracy", "text_bits",
             "steps")  # fmt: skip
#: The shares that it shows, and what it calls them; some only of rows that there are.
_SHARES = (("exact_accuracy", "exact"), ("accuracy", "token"), ("q_halt_accuracy", "halt"),
           ("picture_accuracy", "pictures"), ("text_bits", "text"))  # fmt: skip
_WHERE_KNOWN = ("picture_accuracy", "text_bits")


class TrainingView(Observer):
    """Shows a run on stderr; the loop's observer.

    title: what is trained, in one line. total_steps: where it stops, planned_steps: the end of the plan. compiles:
    whether the first update compiles the network. scheduled: the plan's quantities, in their order. data: how far the
    dataset is while it is still being built, else "".
    """

    def __init__(
        self,
        *,
        title: str,
        total_steps: int,
        first_step: int,
        scheduled: Sequence[str],
        planned_steps: int | None = None,
        compiles: bool = False,
        data: Callable[[], str] = lambda: "",
    ) -> None:
        self._console = stderr()
        self._title = title
        self._total = total_steps
        self._planned = planned_steps or total_steps
        self._first = first_step
        self._scheduled = list(scheduled)
        self._data = data
        self._data_state = ""
        self._step = first_step
        self._record: dict[str, Any] = {}
        self._speed: float | None = None
        self._status = "the first update compiles the network, which takes a minute" if compiles else ""
        self._shares: dict[str, str] = {}  # the last that were known: rows end their puzzles in some updates only
        self._started = time.monotonic()
        self._last_line = 0.0
        self._live = Live(get_renderable=self._panel, console=self._console, refresh_per_second=4, transient=True)

    def __enter__(self) -> TrainingView:
        if self._console.is_terminal:
            self._live.start()
        elif self._status:
            self.note(self._status)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live.is_started:
            self._live.stop()
        if self._record:
            self.note(self._line())

    def stepped(self, step: int, record: dict[str, Any] | None, samples_per_second: float | None) -> None:
        """Note an update and, where it was logged, its record."""
        self._step = step
        self._status = ""
        self._data_state = self._data()
        if record is not None:
            self._record = record
            self._shares |= {name: _share(name, record[name]) for name, _ in _SHARES if record.get(name) is not None}
            self._speed = samples_per_second
        if self._record:
            self._now_and_then(self._line)

    def evaluating(self, rows: int) -> None:
        """Note that an evaluation is under way."""
        self._status = f"evaluating: {rows:,} rows done"

    def evaluated(self, step: int, result: Any, best: bool) -> None:
        """Print the result of an evaluation; it stays on the screen."""
        for line in evaluation_lines(step, result, best):
            self.note(line)

    def saved(self, _step: int, path: Path, seconds: float) -> None:
        """Note that a checkpoint is durable."""
        self._status = f"saved {path.name} in {seconds:.1f} s"

    def waiting(self, message: str) -> None:
        """Note that training waits for something."""
        self._status = message
        self._data_state = ""
        self._now_and_then(lambda: message)

    def _now_and_then(self, line: Callable[[], str]) -> None:
        """Print a line where there is no live panel, unless the last one was printed a short while ago."""
        now = time.monotonic()
        if not self._live.is_started and now - self._last_line > LINE_SECONDS:
            self._last_line = now
            self.note(line())

    def note(self, message: str) -> None:
        """Print a message."""
        self._console.print(message, soft_wrap=True)

    @property
    def _seconds_left(self) -> float | None:
        done = self._step - self._first
        if done < 2:
            return None
        return (time.monotonic() - self._started) / done * (self._total - self._step)

    def _line(self) -> str:
        parts = [f"step {self._step:>8,}/{self._planned:,}", f"loss {_loss(self._record)}"]
        if (exact := self._record.get("exact_accuracy")) is not None:
            parts.append(f"exact {exact:6.1%}")
        for name, label in (("picture_accuracy", "pictures"), ("text_bits", "text")):
            if name in self._shares:
                parts.append(f"{label} {self._shares[name]}")
        parts.append(f"lr {self._record['lr']:.2e}")
        if self._speed is not None:
            parts.append(f"{self._speed:,.0f} samples/s")
        if (left := self._seconds_left) is not None and self._step < self._total:
            parts.append(f"ETA {duration(left)}")
        if self._data_state:
            parts.append(self._data_state)
        return "  ".join(parts)

    def _panel(self) -> RenderableType:
        head = Table.grid(expand=True, padding=(0, 1))
        head.add_column(ratio=1)
        head.add_column(justify="right")
        left = self._seconds_left
        elapsed, eta = duration(time.monotonic() - self._started), "?" if left is None else duration(left)
        stops = "" if self._total == self._planned else f" of {self._planned:,}"
        head.add_row(
            ProgressBar(total=self._total, completed=self._step, width=None),
            f"{self._step:,}/{self._total:,}{stops}  {self._step / self._total:.0%}  elapsed {elapsed}, ETA {eta}",
        )
        rows: list[RenderableType] = [Text(self._title, style="bold"), head]
        if self._record:
            rows.append(Text("  ".join(f"{name} {value}" for name, value in self._numbers())))
            rows.append(Text(_listed(self._record, self._others()), style="dim"))
            rows.append(Text(_listed(self._record, self._scheduled), style="dim"))
        if self._data_state:
            rows.append(Text(self._data_state, style="dim"))
        rows.append(Text(self._status, style="dim"))
        return Group(*rows)

    def _others(self) -> list[str]:
        """List the metrics without a label here, so that a new metric is shown under its name."""
        told = {*_IN_WORDS, *self._scheduled}
        return [name for name, value in self._record.items() if name not in told and isinstance(value, int | float)]

    def _numbers(self) -> list[tuple[str, str]]:
        numbers = [("loss", _loss(self._record))]
        for name, label in _SHARES:
            if name in self._shares or name not in _WHERE_KNOWN:
                numbers.append((label, self._shares.get(name, "-")))
        if (steps := self._record.get("steps")) is not None:
            numbers.append(("steps", f"{steps:.1f}"))
        if self._speed is not None:
            numbers.append(("samples/s", f"{self._speed:,.0f}"))
        return numbers


def _share(name: str, value: float) -> str:
    return f"{value:.2f} bits" if name == "text_bits" else f"{value:.1%}"


def _listed(record: dict[str, Any], names: Sequence[str]) -> str:
    return "  ".join(f"{name} {record[name]:.4g}" for name in names)


def _loss(record: dict[str, Any]) -> str:
    """Format the mean loss; "-" where no update had a finite one."""
    return "-" if record["loss"] is None else f"{record['loss']:.4f}"


def evaluation_lines(step: int, result: Any, best: bool) -> list[str]:
    """Format the result of an evaluation: a line for its puzzles, one for its pictures, one for its texts."""
    mark = "  (best so far)" if best else ""
    head = f"step {step:>8,}  test:"
    lines = []
    if result.judged_by == "exact_accuracy":
        right = f"exact {result.exact_accuracy:7.2%}  token {result.token_accuracy:7.2%}"
        lines.append(f"{head} {right}  of {result.count:,} puzzles{mark}")
        head, mark = " " * len(head), ""
    if result.picture_rows:
        lines.append(f"{head} class {result.picture_accuracy:7.2%}  of {result.picture_rows:,} pictures{mark}")
        head, mark = " " * len(head), ""
    if result.text_rows:
        whole = result.bits_per_byte is not None
        bits, unit = (result.bits_per_byte, "byte") if whole else (result.bits_per_token, "token")
        lines.append(f"{head} {bits:.3f} bits per {unit} of {result.text_rows:,} texts{mark}")
    return lines
