"""One thin file per subcommand: read options, call the library, render. No logic.

Each module offers `register(app)`. The list below is the order in which `trm --help` shows them.
"""

from __future__ import annotations

from collections.abc import Callable

import typer

from trm_cli.commands import build_dataset, configs, inspect_dataset

COMMANDS: tuple[Callable[[typer.Typer], None], ...] = (
    build_dataset.register,
    inspect_dataset.register,
    configs.register,
)
