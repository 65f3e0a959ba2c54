"""Format numbers and make tables: thousands separated, columns aligned, no frames."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

GAP = 2  # spaces between columns


def place(source: str) -> str:
    """Where a value was set, for people: a file and a line, or the command line."""
    return "command line" if re.fullmatch(r"override( \d+)?", source) else source


def number(value: float) -> str:
    """Format a value in at most six digits: 1e-4, 0.05, 65,104, 0.333333."""
    if value == 0:
        return "0"
    if abs(value) < 1e-3 or abs(value) >= 1e9:
        mantissa, exponent = f"{value:.5e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.6g}" if abs(value) < 1e5 else f"{value:,.1f}"


def counted(amount: int, noun: str) -> str:
    """Format a count with its noun: "1 step", "2,000 steps"."""
    return f"{amount:,} {noun if amount == 1 else noun + 's'}"


def table(*headers: str, right: Sequence[int] = (), rows: Iterable[Sequence[str | Text]] = ()) -> Table:
    """Make a table without frames. right: the columns that hold numbers."""
    # The frame that is not drawn takes one cell between columns, the padding the rest of the gap.
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold")
    for index, header in enumerate(headers):
        made.add_column(header, justify="right" if index in right else "left", overflow="fold")
    return _filled(made, rows)


def flowing(items: Sequence[Text], width: int, gap: str = "   ") -> Text:
    """Join items, with line breaks between them and never inside one."""
    text = Text()
    used = 0
    for item in items:
        if used and used + len(gap) + item.cell_len > width:
            text.append("\n")
            used = 0
        elif used:
            text.append(gap)
            used += len(gap)
        text.append_text(item)
        used += item.cell_len
    return text


def facts(rows: Iterable[tuple[str, str | Text]] = ()) -> Table:
    """Make a table of two columns: the name of a fact, and the fact."""
    made = Table(box=None, show_header=False, show_edge=False, pad_edge=False, padding=(0, GAP, 0, 0))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    return _filled(made, rows)


def _filled(made: Table, rows: Iterable[Sequence[str | Text]]) -> Table:
    for row in rows:
        made.add_row(*row)
    return made


def width_of(rows: Sequence[Sequence[str]]) -> int:
    """Count the columns of the terminal that a table of these rows needs."""
    return sum(max(len(row[column]) for row in rows) + GAP for column in range(len(rows[0]))) - GAP
