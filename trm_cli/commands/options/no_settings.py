"""Recognise what a command without settings does not take: `evaluate RUN steps=3`, `--gpu`, a puzzle in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trm_cli.commands.options.program_options import options_of, with_value
from trm_cli.config.sources import other_names

_POSITIONAL = ("run", "checkpoint", "model", "path", "input", "puzzle", "dataset", "data", "dir")


def without_settings(command: Any, called: Sequence[str], words: Sequence[str]) -> tuple[list[str], str]:
    """Return the words as they were meant, the same where nothing is known of them; and a hint that takes their place.

    command: that of `called`, as typer makes it; words: what follows it.
    """
    from trm_cli.shell import command_line

    options = {name for name in options_of(command) if name.startswith("--")}
    places = sum(1 for one in command.params if not any(name.startswith("-") for name in one.opts))
    written = _written(words, options)
    plain, options_given = _apart(command, written)
    if list(called) == ["solve"] and len(plain) > places and set("".join(plain[1:])) <= set("0123456789._?*|-"):
        written = [plain[0], " ".join(plain[1:]), *options_given]
    elif len(plain) > places and plain[-1].endswith((".html", ".png", ".json")) and "--out" in options:
        written = [*(word for word in written if word != plain[-1]), "--out", plain[-1]]
    elif list(called) == ["quickstart"] and plain:
        return written, f"it chooses the model itself; {command_line('trm', 'train', *plain)} trains another"
    if written == list(words):
        settings = [word for word in words if "=" in word and not word.startswith("-")]
        if settings:
            return written, f"{settings[0]}: the settings are those of the run; {_HELP.format(' '.join(called))}"
        return written, ""
    return [part for word in written for part in _parts(word)], ""


def _apart(command: Any, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that are arguments, and those that are options with their values."""
    known = options_of(command)
    plain, options, rest = list[str](), list[str](), list(words)
    while rest:
        option = known.get(rest[0].partition("=")[0])
        taken = with_value(option, rest) if option is not None else rest[:1]
        (options if rest[0].startswith("-") else plain).extend(taken)
        del rest[: len(taken)]
    return plain, options


_HELP = "`trm {} --help` lists what can be asked"


def _written(words: Sequence[str], options: set[str]) -> list[str]:
    """The words in our spelling, without those that are not needed."""
    written, rest = [], list(words)
    denied: list[str] = []
    while rest:
        word = rest.pop(0)
        value = (word.partition("=")[2] or next(iter(rest), "")).lower()
        if device := _device(word, options, denied=value in other_names.FALSE):
            written.append(device)
            denied += [device] if value in other_names.FALSE else []
            del rest[: "=" not in word and value in (*other_names.TRUE, *other_names.FALSE)]
        elif new := _rewritten(word, options):
            written.append(new)
    return other_names.without_denied(written, denied)


def _device(word: str, options: set[str], *, denied: bool) -> str:
    """Our option for the flag of a device, such as `--gpu`; "" of another word. denied: it was said to be false."""
    name = word.partition("=")[0]
    flag = other_names.FLAGS.get(name.removeprefix("--").replace("-", "_"), "")
    flag = other_names.DENIED.get(flag, "") if denied else flag
    foreign = name.startswith("--") and name not in options
    return f"--{flag}" if foreign and flag.startswith("device=") and "--device" in options else ""


def _rewritten(word: str, options: set[str]) -> str:
    """One word in our spelling; "" of one that is not needed."""
    name, equals, value = word.partition("=")
    spelled = "--" + name.lstrip("-").replace("_", "-")
    if spelled in options and name != spelled and (name.startswith("--") or equals):
        return f"{spelled}{equals}{value}"
    if spelled[2:] in _POSITIONAL and name.startswith("--") and spelled not in options:
        return value
    return word


def _parts(word: str) -> list[str]:
    name, equals, value = word.partition("=")
    return [name, value] if word.startswith("--") and equals else [word]
