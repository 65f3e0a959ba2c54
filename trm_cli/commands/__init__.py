"""One thin file per subcommand: read options, call the library, render. No logic.

Each module offers `register(app)`. The list below is the order in which `trm --help` shows them.
"""

from __future__ import annotations

from collections.abc import Callable

import typer

from trm_cli.commands import (
    build_dataset,
    checkpoints,
    configs,
    inspect_dataset,
    inspect_schedule,
    quickstart,
    resume,
    solve,
    train,
)

COMMANDS: tuple[Callable[[typer.Typer], None], ...] = (
    quickstart.register,
    build_dataset.register,
    inspect_dataset.register,
    inspect_schedule.register,
    train.register,
    resume.register,
    solve.register,
    checkpoints.register,
    configs.register,
)
