"""Find options among the words of a command line: a command's own, and those of the program (`--log-level`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: What other programs call them.
_OTHERS = {"-v": ["--log-level", "info"], "--verbose": ["--log-level", "info"], "-vv": ["--log-level", "debug"]}


def options_of(command: Any) -> dict[str, Any]:
    """The options of a command, as typer makes it, by each of their names."""
    every = ((name, one) for one in command.params for name in (*one.opts, *one.secondary_opts))
    return {name: one for name, one in every if name.startswith("-")}


def leading(program: Any, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those that stand before the command, each with its value, and the words after them."""
    own, first, rest = options_of(program), [], list(words)
    while rest and (option := own.get(rest[0].partition("=")[0])) is not None:
        first += (taken := with_value(option, rest))
        del rest[: len(taken)]
    return first, rest


def misplaced(program: Any, command: Any, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those among the words of a command, which has no such option, in our spelling; and the words without them."""
    theirs = options_of(command)
    own = {name: one for name, one in options_of(program).items() if name not in theirs}
    found: list[str] = []
    kept, rest = [], list(words)
    while rest:
        name, equals, value = rest[0].partition("=")
        spelled = "--" + name.lstrip("-").replace("_", "-").replace("loglevel", "log-level")
        if name in _OTHERS and name not in theirs:
            found += _OTHERS[name]
            del rest[0]
        elif name.startswith("--") and spelled in own:
            option = own[spelled]
            taken = with_value(option, rest)
            found += [f"{option.opts[0]}{equals}{value}", *taken[1:]]
            del rest[: len(taken)]
        else:
            kept.append(rest.pop(0))
    return found, kept


def with_value(option: Any, words: Sequence[str]) -> list[str]:
    """An option at the head of these words, with its value."""
    return list(words[: 1 if option.is_flag or "=" in words[0] else 2])
