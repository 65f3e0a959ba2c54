"""The two streams of every command: results on stdout, everything else on stderr.

`--json` prints one JSON document on stdout and nothing else there, so a person can pipe any command into a program.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from trm_cli.shell import command_line

#: Without a terminal, lines of progress come at least this many seconds apart: a log of a long run stays readable.
LINE_SECONDS = 10.0
#: The first of them comes early: a command that says nothing for longer looks as if it hung.
FIRST_LINE_SECONDS = 2.0
#: What would move the cursor, colour or reorder the line, or talk to the terminal: titles, names and lines of builders
#: are somebody else's text.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class _PlainConsole(Console):
    """A console to which a text is a text: no markup in square brackets, no control characters that get through."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, highlight=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render anything; only what rich itself wants of the terminal is left in it."""
        for segment in super().render(renderable, options):
            if segment.control is None and CONTROL.search(segment.text):
                segment = Segment(CONTROL.sub("", segment.text), segment.style)
            yield segment


@cache
def stdout() -> Console:
    """Return the console for results: tables, plots, answers."""
    return _PlainConsole()


@cache
def stderr() -> Console:
    """Return the console for notes, progress and errors; what stderr does not take is lost (see `streams`)."""
    return _PlainConsole(stderr=True)


def shows_colours(console: Console) -> bool:
    """Return whether a console shows colours."""
    return console.is_terminal and not console.no_color


def silence(wanted: bool) -> None:
    """Mute or unmute both streams: of several training processes only the first prints."""
    stdout().quiet = stderr().quiet = wanted


def note(message: str) -> None:
    """Print a message for the user on stderr."""
    stderr().print(message, soft_wrap=True)


def next_step(*commands: Sequence[object]) -> None:
    """Print what comes next, on stderr: command lines, each by its words."""
    note(f"Next: {', or '.join(command_line(*words) for words in commands)}")


def write_piece(text: str) -> None:
    """Write a piece of text on stdout at once: unchanged into a pipe, without control characters on a terminal."""
    sys.stdout.write(CONTROL.sub("", text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def write_file(path: Path, content: bytes) -> None:
    """Write a file atomically, and print its name. Raises TrmError."""
    from trm_cli.data.files.durable import write_atomically
    from trm_cli.errors import TrmError

    try:
        write_atomically(path, content)
    except OSError as error:
        raise TrmError(f"{path} cannot be written: {error.strerror or error}") from error
    note(f"wrote {path}")


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON document on stdout: its schema_version, then the keys in the order given."""
    print(json.dumps({"schema_version": 1, **document}, indent=2, allow_nan=False))


def print_result(document: Mapping[str, Any], screen: RenderableType, *, as_json: bool) -> None:
    """Print a result on stdout, as one JSON document or as a screen for people."""
    if as_json:
        print_json(document)
    else:
        # A text that is to be copied keeps its lines; rich forgets what the text itself says of that.
        stdout().print(screen, soft_wrap=isinstance(screen, Text) and bool(screen.no_wrap))
