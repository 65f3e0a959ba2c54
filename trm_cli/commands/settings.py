"""Recognise settings that were typed as options: `--epochs 10` instead of `epochs=10`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SETTINGS = "KEY=VALUE"  # in the metavar of the argument that takes them


def as_setting(program: Any, words: Sequence[str]) -> str:
    """Return the command line with its settings in their spelling; "" where no setting was typed as an option.

    program: the command of the whole program, as typer makes it.
    """
    from trm_cli.config.reference import every_key
    from trm_cli.shell import command_line

    command, called = program, []
    rest = list(words)
    while rest and rest[0] in getattr(command, "commands", {}):
        called.append(rest.pop(0))
        command = command.commands[called[-1]]
    if not any(SETTINGS in (getattr(one, "metavar", None) or "") for one in command.params):
        return ""
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    keys = {one.key for one in every_key()}
    written, changed = [], False
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        key = name.removeprefix("--").replace("-", "_")
        if not name.startswith("--") or name in options or key not in keys:
            written.append(word)
            continue
        if not equals:
            value = rest.pop(0) if rest and not rest[0].startswith("--") else "true"
        written.append(f"{key}={value}")
        changed = True
    return command_line("trm", *called, *written) if changed else ""
