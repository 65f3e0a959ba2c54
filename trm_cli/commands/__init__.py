"""One file per subcommand, named as the command: options in, one call of a workflow, one view out.

A module that offers `register(app)` is a command; the others here are what several of them share. A module is imported
when its command is called or listed, so that no command waits for the others. May import everything; nothing but
`trm_cli.app` imports it.
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
    "solve",
    "generate",
    "show_capsules",
    "checkpoints",
    "configs",
)


def register_commands(app: typer.Typer, called: str | None) -> None:
    """Add the command that is called; all of them where that is not one (help, completion, a slip to be named)."""
    found = {module.name for module in iter_modules(__path__)}
    if called is not None and called.replace("-", "_") in found and _register(called.replace("-", "_"), app):
        return
    for name in [*_ORDER, *sorted(found.difference(_ORDER))]:
        _register(name, app)


def _register(name: str, app: typer.Typer) -> bool:
    """Add the command of a module of this package; returns whether it is one."""
    module = import_module(f"{__name__}.{name}")
    if is_command := hasattr(module, "register"):
        module.register(app)
    return is_command
