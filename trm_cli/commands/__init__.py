"""The subcommands, one file each: it parses the options, calls a workflow and shows the result.

A module with a function (or a Typer group) of its own name is a command; the others are what several commands share. A
module is imported when its command is called or listed, so that no command waits for the others. May import everything;
nothing but `trm_cli.app` imports it.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

import typer

#: The order of `trm --help`, as one comes to need them. A command that is not named here follows, by its name.
_ORDER = (
    "quickstart",
    "doctor",
    "build_dataset",
    "inspect_dataset",
    "inspect_schedule",
    "inspect_model",
    "train",
    "resume",
    "evaluate",
    "report",
    "compare",
    "sweep",
    "launch",
    "solve",
    "demo",
    "adapt",
    "generate",
    "classify",
    "show_capsules",
    "checkpoints",
    "configs",
)


def register_commands(app: typer.Typer, called: str | None) -> None:
    """Add the command that is called; all of them where it is unknown (help, completion, a typing error)."""
    found = {module.name for module in iter_modules(__path__)}
    if called is not None and called.replace("-", "_") in found and _register(called.replace("-", "_"), app):
        return
    for name in [*_ORDER, *sorted(found.difference(_ORDER))]:
        _register(name, app)


def _register(name: str, app: typer.Typer) -> bool:
    """Add the function or group of the same name as its module; returns whether the module has one."""
    command = getattr(import_module(f"{__name__}.{name}"), name, None)
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name.replace("_", "-"))
    elif command is not None:
        app.command(name.replace("_", "-"))(command)
    return command is not None
