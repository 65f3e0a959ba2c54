"""Print errors: the message, the place of each problem, and a hint; never a traceback."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from trm_cli.console.output import CONTROL, stderr
from trm_cli.errors import ConfigError, Problem, TrmError

_WIDEST_PLACE = 36  # a longer file:line:column gets a line of its own


def render_error(error: TrmError, console: Console | None = None) -> None:
    """Print an error, each of its problems with its place, and its hint, on stderr."""
    console = console or stderr()
    _line(console, Text.assemble(("error: ", "bold red"), _printable(error.message, console)), 7)
    if isinstance(error, ConfigError):
        for text, indent in _problem_lines(error.problems, console):
            _line(console, text, indent)
    if error.hint:
        console.print()
        _line(console, Text.assemble(("hint: ", "bold"), _printable(error.hint, console)), 6)


def _problem_lines(problems: tuple[Problem, ...], console: Console) -> Iterator[tuple[Text, int]]:
    """Yield lines, each with the column where its continuation starts."""
    # A place is one line, whatever was typed.
    typed = [problem.where.replace("\n", "\\n").replace("\t", "\\t") for problem in problems]
    places = [_printable(place, console) for place in typed]
    width = max((len(place) for place in places if len(place) <= _WIDEST_PLACE), default=0)
    for problem, place in zip(problems, places, strict=True):
        message = _printable(problem.message, console)
        if len(place) <= _WIDEST_PLACE:
            indent = 2 + width + 2
            yield Text.assemble("  ", (place.ljust(width), "cyan"), "  ", message), indent
        else:
            indent = 4
            yield Text.assemble("  ", (place, "cyan")), indent
            yield Text.assemble(" " * indent, message), indent
        if problem.hint:
            hint = Text.assemble(" " * indent, ("hint: ", "bold"), _printable(problem.hint, console))
            yield hint, indent + 6


def _line(console: Console, text: Text, indent: int) -> None:
    """Print a paragraph: wrapped with an indent on a terminal, one long line anywhere else (for grep)."""
    if not console.is_terminal or console.width - indent < 24 or text.cell_len <= console.width:
        console.print(text, soft_wrap=True)
        return
    head, tail = text[:indent], text[indent:]
    lines = tail.wrap(console, console.width - indent)
    console.print(Text.assemble(head, lines[0]), soft_wrap=True)
    for line in lines[1:]:
        console.print(Padding(line, (0, 0, 0, indent)))


def visible(text: str) -> str:
    """Escape control characters."""
    return CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def _printable(text: str, console: Console) -> str:
    """Escape control characters, and characters that the terminal's encoding lacks."""
    encoding = console.encoding or "utf-8"
    return visible(text).encode(encoding, "backslashreplace").decode(encoding)
