"""Numbers and tables as people read them: thousands apart, columns aligned, no frames."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

GAP = 2  # spaces between columns


def number(value: float) -> str:
    """A value in at most six digits: 1e-4, 0.05, 65,104, 0.333333."""
    if value == 0:
        return "0"
    if abs(value) < 1e-3 or abs(value) >= 1e9:
        mantissa, exponent = f"{value:.5e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.6g}" if abs(value) < 1e5 else f"{value:,.1f}"


def counted(amount: int, one: str, many: str | None = None) -> str:
    """A count with its noun: "1 step", "2,000 steps"."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def table(*headers: str, right: Sequence[int] = ()) -> Table:
    """A table without frames; `right` are the columns that hold numbers. Nothing in it is ever cut off."""
    # The frame that is not drawn takes one cell between columns, the padding the rest of the gap.
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold")
    for index, header in enumerate(headers):
        made.add_column(header, justify="right" if index in right else "left", overflow="fold")
    return made


def flowing(items: Sequence[Text], width: int, gap: str = "   ") -> Text:
    """Items one after the other, broken into lines between them and never inside one."""
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


def facts() -> Table:
    """Two columns, a name and what there is to say about it."""
    made = Table(box=None, show_header=False, show_edge=False, pad_edge=False, padding=(0, GAP, 0, 0))
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    return made


def width_of(rows: Sequence[Sequence[str | Text]]) -> int:
    """Columns of the terminal that these rows need side by side."""
    return sum(max(_cells(row[column]) for row in rows) + GAP for column in range(len(rows[0]))) - GAP


def _cells(cell: str | Text) -> int:
    return cell.cell_len if isinstance(cell, Text) else len(cell)
