"""Plot curves in the terminal with block characters, one band for each quantity over the same steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from trm_cli.console.tables import flowing, number
from trm_cli.schedule.curves import Quantity

_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII = " .-=#"  # for terminals whose encoding has no blocks
_STYLES = ("cyan", "blue", "magenta", "yellow", "green", "red")


def bars(values: Sequence[float], low: float, high: float, height: int, glyphs: str = _BLOCKS) -> list[str]:
    """Draw values as columns of filled cells, top line first. The lowest value fills one level; equal ends fill all."""
    levels = len(glyphs) - 1
    span = high - low
    # One level is kept for the foot, so that a value at the bottom is seen and not missing.
    filled = [round((value - low) / span * (levels * height - 1)) + 1 if span else levels * height for value in values]
    lines = []
    for row in reversed(range(height)):
        lines.append("".join(glyphs[min(max(level - row * levels, 0), levels)] for level in filled))
    return lines


@dataclass(frozen=True)
class SchedulePlot:
    """A plot of every quantity of a plan over one axis of steps, with the ends of phases marked."""

    quantities: Sequence[Quantity]
    total_steps: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        glyphs = _ASCII if options.ascii_only else _BLOCKS
        names = max(len(quantity.name) for quantity in self.quantities)
        ranges = max(len(number(bound)) for quantity in self.quantities for bound in (quantity.low, quantity.high))
        left = names + 2 + ranges + 1
        width = max(options.max_width - left - 1, 10)
        height = 2 if options.max_width < 110 else 3
        for index, quantity in enumerate(self.quantities):
            if index:
                yield Text("")
            yield from self._band(quantity, names, ranges, width, height, glyphs, _STYLES[index % len(_STYLES)])
        yield from self._axis(left, width, ascii_only=options.ascii_only)

    def _band(
        self, quantity: Quantity, names: int, ranges: int, width: int, height: int, glyphs: str, style: str
    ) -> Iterator[Text]:
        values = [quantity.at(step) for step in self._sampled(width)]
        high, low = number(quantity.high), number(quantity.low)
        for row, line in enumerate(bars(values, quantity.low, quantity.high, height, glyphs)):
            name = quantity.name if row == 0 else ""
            bound = high if row == 0 else low if row == height - 1 and low != high else ""
            yield Text.assemble((name.ljust(names), "bold"), "  ", (bound.rjust(ranges), "dim"), " ", (line, style))

    def _axis(self, left: int, width: int, *, ascii_only: bool) -> Iterator[Text]:
        rule = ["-" if ascii_only else "─"] * width
        legend = []
        for letter, (step, names) in zip(ascii_lowercase, self._marks().items(), strict=False):
            column = self._column(step, width)
            rule[column] = letter if not rule[column].isalpha() else "*"
            legend.append(Text.assemble((letter, "bold"), f" {step:,} {', '.join(names)}"))
        yield Text.assemble(" " * left, "".join(rule))
        yield Text(" " * left + _spread(self._ticks(width), width), style="dim")
        for index, line in enumerate(flowing(legend, width).split("\n") if legend else ()):
            yield Text.assemble(("phases end" if index == 0 else "").ljust(left), line)

    def _marks(self) -> dict[int, list[str]]:
        """Map the steps inside the run at which phases end to the names of their quantities."""
        ends: dict[int, list[str]] = {}
        for quantity in self.quantities:
            for segment in quantity.segments:
                if 0 < segment.end_step < self.total_steps:
                    ends.setdefault(segment.end_step, []).append(quantity.name)
        return dict(sorted(ends.items()))

    def _ticks(self, width: int) -> list[tuple[int, str]]:
        parts = 4 if width >= 4 * (len(f"{self.total_steps:,}") + 3) else 1
        steps = sorted({self.total_steps * part // parts for part in range(parts + 1)})
        return [(self._column(step, width), f"{step:,}") for step in steps]

    def _sampled(self, width: int) -> list[int]:
        return [round(column * self.total_steps / (width - 1)) for column in range(width)]

    def _column(self, step: int, width: int) -> int:
        return round(step * (width - 1) / self.total_steps)


def _spread(labels: list[tuple[int, str]], width: int) -> str:
    """Place labels under their columns: the first begins there, the last ends there, the others are centred."""
    line = ""
    for index, (column, label) in enumerate(labels):
        start = column if index == 0 else column - len(label) // 2
        start = min(start, width - len(label))
        if start <= len(line) and index:
            continue
        line = line.ljust(start) + label
    return line
