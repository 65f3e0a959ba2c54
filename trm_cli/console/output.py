"""The two streams of every command: results on stdout, everything else on stderr.

`--json` prints one JSON document on stdout and nothing else there, so a person can pipe any command into a program.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any

from rich.console import Console


@cache
def stdout() -> Console:
    """Where results go: tables, plots, answers."""
    return Console(highlight=False, emoji=False)


@cache
def stderr() -> Console:
    """Where notes, progress and errors go."""
    return Console(stderr=True, highlight=False, emoji=False)


def shows_colours(console: Console) -> bool:
    """Whether a picture may be made of colours there."""
    return console.is_terminal and not console.no_color


def silence(wanted: bool) -> None:
    """Say nothing on either stream (True), or speak again: of several processes of a run, the first one speaks."""
    stdout().quiet = stderr().quiet = wanted


def note(message: str) -> None:
    """Tell the user something in passing, without markup, on stderr."""
    stderr().print(message, markup=False, soft_wrap=True)


def write_piece(text: str) -> None:
    """A piece of a text that comes bit by bit, on stdout, as it is."""
    sys.stdout.write(text)
    sys.stdout.flush()


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document on stdout; keys stay in the order given."""
    print(json.dumps(document, indent=2, allow_nan=False))


def print_line(text: str) -> None:
    """Print one line of results on stdout as it is: no wrapping, no markup."""
    print(text, flush=True)
