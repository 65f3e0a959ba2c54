"""One thin file per subcommand: read options, call the library, render. No logic.

Each module offers `register(app)`. A module is imported when its command is called or listed, so that no command waits
for the others.
"""

from __future__ import annotations

from importlib import import_module

import typer

#: Command -> module of this package, in the order in which `trm --help` shows them.
COMMANDS = {
    "quickstart": "quickstart",
    "doctor": "doctor",
    "build-dataset": "build_dataset",
    "inspect-dataset": "inspect_dataset",
    "inspect-schedule": "inspect_schedule",
    "inspect-model": "inspect_model",
    "train": "train",
    "resume": "resume",
    "evaluate": "evaluate",
    "report": "report",
    "solve": "solve",
    "generate": "generate",
    "show-capsules": "show_capsules",
    "checkpoints": "checkpoints",
    "configs": "configs",
}


def register_commands(app: typer.Typer, called: str | None) -> None:
    """Add the command that is called; all of them where that is not one (help, completion, a slip to be named)."""
    for name in [called] if called in COMMANDS else COMMANDS:
        import_module(f"{__name__}.{COMMANDS[name]}").register(app)
