"""Recognise settings that were typed as options: `--epochs 10` instead of `epochs=10`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

SETTINGS = "KEY=VALUE"  # in the metavar of the argument that takes them


def hint_for(program: Any, words: Sequence[str]) -> str:
    """Return what to type instead of options that do not exist, as a hint; "" where nothing is known of them.

    program: the command of the whole program, as typer makes it.
    """
    from trm_cli.shell import command_line

    command, called, rest = _command(program, words)
    if not any(SETTINGS in (getattr(one, "metavar", None) or "") for one in command.params):
        return ""
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    written, settings = _rewritten(rest, options, builds=called[-1:] == ["build-dataset"])
    line = command_line("trm", *called, *written)
    if settings:
        return f"settings are written without dashes: `{line}`"
    return f"a run continues by itself where it has a checkpoint: `{line}`" if written != rest else ""


def _command(program: Any, words: Sequence[str]) -> tuple[Any, list[str], list[str]]:
    """The command that words call, the words that name it, and the rest of them."""
    command, called, rest = program, [], list(words)
    while rest and rest[0] in getattr(command, "commands", {}):
        called.append(rest.pop(0))
        command = command.commands[called[-1]]
    return command, called, rest


def _rewritten(words: Sequence[str], options: Collection[str], *, builds: bool) -> tuple[list[str], bool]:
    """The words with their settings in their spelling, and whether there was one.

    options: those that exist. builds: what is no key is a flag of the dataset builder.
    """
    from trm_cli.config.reference import every_key

    keys = {one.key for one in every_key()}
    written, settings, rest = [], False, list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        key = name.removeprefix("--").replace("-", "_")
        known = key in keys or key == "model"
        if name in _CONTINUE and name not in options:
            continue
        if not name.startswith("--") or name in options or not (known or builds):
            written.append(word)
            continue
        if not equals:
            value = rest.pop(0) if rest and not rest[0].startswith("--") else "true"
        key = "" if key == "model" else f"{key}=" if known else f"dataset_args.{key}="
        written.append(f"{key}{value}")
        settings = True
    return written, settings


#: Options of other programs that continue a run.
_CONTINUE = ("--resume", "--continue", "--auto-resume")
