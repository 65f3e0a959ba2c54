"""`trm checkpoints`: what a run has, and whether each file is whole."""

from __future__ import annotations

from typing import Annotated

import typer

from trm_cli.commands import checkpoint_transfer

Run = Annotated[str | None, typer.Argument(help="A run directory; default: the one changed last.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(no_args_is_help=True, help="What a run has saved, and whether it is whole.")
    group.command("list")(list_checkpoints)
    group.command("verify")(verify)
    checkpoint_transfer.register(group)
    app.add_typer(group, name="checkpoints")


def list_checkpoints(run: Run = None, as_json: Json = False) -> None:
    """List the checkpoints of a run.

    [dim]Example: trm checkpoints list checkpoints/sudoku-6x6[/dim]
    """
    _show(run, as_json, verified=False)


def verify(run: Run = None, as_json: Json = False) -> None:
    """Check every byte of every checkpoint of a run; exit 4 when one is damaged.

    [dim]Example: trm checkpoints verify checkpoints/sudoku-6x6[/dim]
    """
    if not _show(run, as_json, verified=True):
        raise typer.Exit(4)


def _show(run: str | None, as_json: bool, *, verified: bool) -> bool:
    """Print the table or the document; returns whether all are whole."""
    from trm_cli.console.checkpoint_view import checkpoint_table
    from trm_cli.console.output import print_json, stdout
    from trm_cli.training.finding import find_run
    from trm_cli.training.inventory import inventory

    directory = find_run(run)
    entries = inventory(directory, verified=verified)
    if as_json:
        print_json({"schema_version": 1, "run": str(directory), "checkpoints": [entry.to_json() for entry in entries]})
    else:
        stdout().print(checkpoint_table(directory, entries))
    return all(entry.problem is None for entry in entries)
