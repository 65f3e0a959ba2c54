"""How an error looks: what, where, and what to do about it. Never a traceback."""

from __future__ import annotations

from rich.text import Text

from trm_cli.console.output import stderr
from trm_cli.errors import ConfigError, TrmError


def render_error(error: TrmError) -> None:
    """Print an error, each of its problems with its place, and its hint, on stderr."""
    console = stderr()
    console.print(Text.assemble(("error: ", "bold red"), error.message), soft_wrap=True)
    if isinstance(error, ConfigError):
        width = max((len(problem.where) for problem in error.problems), default=0)
        for problem in error.problems:
            line = Text.assemble("  ", (problem.where.ljust(width), "cyan"), "  ", problem.message)
            console.print(line, soft_wrap=True)
            if problem.hint:
                console.print(Text.assemble("  ", " " * width, "  ", (problem.hint, "dim")), soft_wrap=True)
    if error.hint:
        console.print(Text.assemble("\n", ("hint: ", "bold"), error.hint), soft_wrap=True)
