"""The two streams of every command: results on stdout, everything else on stderr.

`--json` prints one JSON document on stdout and nothing else there, so a person can pipe any command into a program.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TextIO, cast

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

#: Without a terminal, lines of progress come at least this many seconds apart: a log of a long run stays readable.
LINE_SECONDS = 10.0
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


class _Forgiving:
    """stderr, as it is at each moment; what it does not take is lost, and nothing else.

    A reader that leaves (`2>&1 | head`) or a disk that is full of logs must not end a run that has days behind it.
    """

    encoding = "utf-8"

    @staticmethod
    def _stream() -> TextIO | None:
        """Without the proxy that a live panel puts before it, which writes through us."""
        return cast("TextIO | None", getattr(sys.stderr, "rich_proxied_file", sys.stderr))

    def write(self, text: str) -> int:
        """Write, if that is possible."""
        with suppress(OSError):
            if (stream := self._stream()) is not None:
                stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        with suppress(OSError):
            if (stream := self._stream()) is not None:
                stream.flush()

    def isatty(self) -> bool:
        """Whether a person may be watching."""
        stream = self._stream()
        return stream is not None and stream.isatty()

    def leave(self) -> None:
        """At exit: lines that still cannot be written would make the interpreter end with a status of its own, 120."""
        try:
            if (stream := self._stream()) is not None and not stream.closed:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


@cache
def stdout() -> Console:
    """Where results go: tables, plots, answers."""
    return _PlainConsole()


@cache
def stderr() -> Console:
    """Where notes, progress and errors go."""
    forgiving = _Forgiving()
    atexit.register(forgiving.leave)
    return _PlainConsole(file=cast(TextIO, forgiving), stderr=True)


def shows_colours(console: Console) -> bool:
    """Whether a picture may be made of colours there."""
    return console.is_terminal and not console.no_color


def silence(wanted: bool) -> None:
    """Say nothing on either stream (True), or speak again: of several processes of a run, the first one speaks."""
    stdout().quiet = stderr().quiet = wanted


def note(message: str) -> None:
    """Tell the user something in passing, without markup, on stderr."""
    stderr().print(message, soft_wrap=True)


def write_piece(text: str) -> None:
    """A piece of a text that comes bit by bit, on stdout: in a pipe as it is, on a terminal without its controls."""
    sys.stdout.write(CONTROL.sub("", text) if sys.stdout.isatty() else text)
    sys.stdout.flush()


def write_file(path: Path, content: bytes) -> None:
    """Write a file that the user asked for, at once or not at all, and say so. Raises TrmError."""
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
        stdout().print(screen)


def print_line(text: str) -> None:
    """Print one line of results on stdout as it is: no wrapping, no markup."""
    print(text, flush=True)
