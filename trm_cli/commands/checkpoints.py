"""`trm checkpoints`: list, verify, prune, consolidate, import and export checkpoints."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from trm_cli.commands import checkpoint_transfer
from trm_cli.commands.arguments import Json

Run = Annotated[str | None, typer.Argument(help="A run directory; default: the one changed last.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(no_args_is_help=True, help="List, verify, prune, convert, import and export checkpoints.")
    group.command("list")(list_checkpoints)
    group.command("verify")(verify)
    checkpoint_transfer.register(group)
    group.command("prune")(prune)
    group.command("consolidate")(consolidate)
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


def prune(
    run: Run = None,
    keep: Annotated[
        int | None,
        typer.Option(min=1, help="How many of the newest stay (default: keep_checkpoints of the run).", metavar="N"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be deleted.")] = False,
    as_json: Json = False,
) -> None:
    """Delete old checkpoints: never the newest valid one, those of latest.pt and best.pt, or those of keep_every.

    [dim]Example: trm checkpoints prune checkpoints/sudoku-6x6 --keep 1 --dry-run[/dim]
    """
    from trm_cli.config.compose import load_run_config
    from trm_cli.console.output import note, print_json, stdout
    from trm_cli.console.views.checkpoints import prune_table
    from trm_cli.training.checkpoint.retention import decide, prune_checkpoints
    from trm_cli.training.run.find_run import find_run
    from trm_cli.training.run.run_directory import RunDirectory

    directory = RunDirectory(find_run(run))
    kept = keep or load_run_config(directory.path).config.keep_checkpoints
    with directory.held():
        note(f"reading the checkpoints of {directory.path}")
        store = directory.store()
        decisions = decide(store, keep=kept, milestones=directory.milestones())
        freed = 0 if dry_run else prune_checkpoints(store, decisions)
    if as_json:
        document = {"schema_version": 1, "run": str(directory.path), "dry_run": dry_run, "freed_bytes": freed}
        print_json({**document, "checkpoints": [decision.to_json() for decision in decisions]})
    else:
        stdout().print(prune_table(directory.path, decisions, dry_run=dry_run))


def consolidate(
    run: Annotated[
        str | None, typer.Argument(help="A run directory or a checkpoint file; default: the run changed last.")
    ] = None,
    step: Annotated[
        int | None, typer.Option(min=1, help="Which checkpoint (default: the newest).", metavar="STEP")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write it there and leave the run as it is.", metavar="FILE", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Convert a sharded checkpoint to a single file; without --out in its place.

    [dim]Example: trm checkpoints consolidate checkpoints/sudoku-extreme --out single.pt[/dim]
    """
    from trm_cli.console.output import note, print_json, stdout
    from trm_cli.console.views.checkpoints import consolidated_view
    from trm_cli.errors import UsageError
    from trm_cli.training.run.find_run import find_run
    from trm_cli.training.run.run_directory import RunDirectory

    if out is not None and (out.is_dir() or (out.parent / "config.yaml").is_file()):
        raise UsageError(f"{out} is inside a run directory", hint="choose another file: --out FILE")
    directory = RunDirectory(find_run(run))
    from trm_cli.training.checkpoint.consolidation import choose_step
    from trm_cli.training.checkpoint.consolidation import consolidate as write_consolidated

    with directory.held() if out is None else nullcontext():
        store = directory.store()
        chosen = choose_step(store, run, step)
        note(f"reading the checkpoint of step {chosen:,} of {directory.path}")
        done = write_consolidated(store, chosen, out)
    if as_json:
        print_json({"schema_version": 1, **done.to_json()})
    else:
        stdout().print(consolidated_view(done))


def _show(run: str | None, as_json: bool, *, verified: bool) -> bool:
    """Print the table or the document; returns whether all are valid."""
    from trm_cli.console.output import print_json, stdout
    from trm_cli.console.views.checkpoints import checkpoint_table
    from trm_cli.training.checkpoint.inventory import inventory
    from trm_cli.training.run.find_run import find_run
    from trm_cli.training.run.run_directory import RunDirectory

    directory = find_run(run)
    entries = inventory(RunDirectory(directory).store(), verified=verified)
    if as_json:
        print_json({"schema_version": 1, "run": str(directory), "checkpoints": [entry.to_json() for entry in entries]})
    else:
        stdout().print(checkpoint_table(directory, entries))
    return all(entry.problem is None for entry in entries)
