"""`trm checkpoints`: list, verify, prune, consolidate, import and export checkpoints."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_cli.commands.options.arguments import Json

if TYPE_CHECKING:
    from trm_cli.workflows.checkpoints import RunCheckpoints


class Form(StrEnum):
    """The file formats of `export`."""

    safetensors = "safetensors"
    original = "original"


Run = Annotated[str | None, typer.Argument(help="A run directory; default: the one changed last.", show_default=False)]
RunOrFile = Annotated[
    str | None, typer.Argument(help="A run directory or a checkpoint file; default: the run changed last.")
]

checkpoints = typer.Typer(no_args_is_help=True, help="List, verify, prune, convert, import and export checkpoints.")


@checkpoints.command("list")
def list_checkpoints(run: Run = None, as_json: Json = False) -> None:
    """List the checkpoints of a run.

    [dim]Example: trm checkpoints list checkpoints/sudoku-6x6[/dim]
    """
    from trm_cli.console.output import next_step

    found = _show(run, as_json, verified=False)
    if not as_json:
        next_step(("trm", "checkpoints", "verify", found.directory))


@checkpoints.command("verify")
def verify(run: Run = None, as_json: Json = False) -> None:
    """Check every byte of every checkpoint of a run; exit 4 when one is damaged.

    [dim]Example: trm checkpoints verify checkpoints/sudoku-6x6[/dim]
    """
    from trm_cli.console.output import next_step

    found = _show(run, as_json, verified=True)
    if not found.valid:
        raise typer.Exit(4)
    if not as_json:
        next_step(("trm", "evaluate", found.directory))


@checkpoints.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="A state dict: of torch.save, or .safetensors.", show_default=False)],
    arch: Annotated[str | None, typer.Option(help="The architecture that it is for.", metavar="NAME")] = None,
    model: Annotated[
        str | None, typer.Option(help="The recipe to train it further with; its architecture and dataset.")
    ] = None,
    dataset: Annotated[Path | None, typer.Option(help="The dataset to use it on.", metavar="DIR")] = None,
    out: Annotated[Path | None, typer.Option(help="The run directory.", metavar="RUN")] = None,
    identifiers: Annotated[
        Path | None, typer.Option(help="identifiers.json of the dataset that it was trained on.", metavar="FILE")
    ] = None,
    new_puzzle_table: Annotated[
        bool, typer.Option("--new-puzzle-table", help="Unknown puzzles begin with the mean of the old rows.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a run of weights of the original TRM or HRM code; rows of the puzzle table move by name.

    [dim]Example: trm checkpoints import step_65100 --arch trm_sudoku --dataset datasets/sudoku-extreme[/dim]
    """
    from trm_cli.console.output import note, print_result
    from trm_cli.console.views.checkpoints import imported_view
    from trm_cli.workflows.import_weights import ImportRequest, import_weights

    done = import_weights(ImportRequest(file, out, arch, model, dataset, identifiers, new_puzzle_table), note)
    print_result(asdict(done), imported_view(done), as_json=as_json)


@checkpoints.command("export")
def export_run(
    run: RunOrFile = None,
    form: Annotated[Form, typer.Option("--format", help="safetensors, or the original code's layout.")] = (
        Form.safetensors
    ),
    ema: Annotated[
        bool | None, typer.Option("--ema/--raw", help="Averaged or raw weights.", show_default="averaged if any")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write.", metavar="FILE")] = None,
    compiled: Annotated[
        bool,
        typer.Option("--compiled/--uncompiled", help="Original layout: names as torch.compile has them, or without."),
    ] = True,
    identifiers: Annotated[
        Path | None, typer.Option(help="Write the names of the puzzle table's rows as well.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the weights of a run for other programs.

    [dim]Example: trm checkpoints export checkpoints/sudoku-4x4 --out sudoku.safetensors[/dim]
    """
    from trm_cli.commands.options.arguments import expect_folder, expect_run, suggest_evaluation
    from trm_cli.console.output import note, print_result
    from trm_cli.console.views.checkpoints import exported_view
    from trm_cli.errors import UsageError
    from trm_cli.paths import from_here
    from trm_cli.workflows import checkpoints as workflow

    if out is None:
        raise UsageError("no output file is given", hint="--out FILE")
    expect_folder(out)
    expect_run(run)
    done = workflow.export_run(run, out, form.value, note, averaged=ema, compiled=compiled, identifiers=identifiers)
    print_result(asdict(done), exported_view(done), as_json=as_json)
    if not as_json:
        suggest_evaluation(from_here(Path(done.checkpoint)))


@checkpoints.command("prune")
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
    from trm_cli.console.output import next_step, note, print_result
    from trm_cli.console.views.checkpoints import prune_table
    from trm_cli.workflows import checkpoints as workflow

    done = workflow.prune(run, note, keep=keep, dry_run=dry_run)
    document = {
        "run": str(done.directory),
        "dry_run": dry_run,
        "freed_bytes": done.freed_bytes,
        "checkpoints": [asdict(decision) for decision in done.decisions],
    }
    print_result(document, prune_table(done.directory, done.decisions, dry_run=dry_run), as_json=as_json)
    if not as_json:
        count = [] if keep is None else ["--keep", keep]
        next_step(("trm", "checkpoints", *(("prune", done.directory, *count) if dry_run else ("list", done.directory))))


@checkpoints.command("consolidate")
def consolidate(
    run: RunOrFile = None,
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
    from trm_cli.console.output import next_step, note, print_result
    from trm_cli.console.views.checkpoints import consolidated_view
    from trm_cli.workflows import checkpoints as workflow

    done = workflow.consolidate(run, note, step=step, out=out)
    print_result(asdict(done), consolidated_view(done), as_json=as_json)
    if not as_json:
        initial = ("trm", "train", "MODEL", f"init_from={done.file}")
        next_step(initial if out is not None else ("trm", "checkpoints", "verify", Path(done.file).parent))


def _show(run: str | None, as_json: bool, *, verified: bool) -> RunCheckpoints:
    """Print the checkpoints of a run."""
    from trm_cli.console.output import print_result
    from trm_cli.console.views.checkpoints import checkpoint_table
    from trm_cli.workflows.checkpoints import list_checkpoints

    found = list_checkpoints(run, verified=verified)
    document = {"run": str(found.directory), "checkpoints": [asdict(entry) for entry in found.entries]}
    print_result(document, checkpoint_table(found.directory, found.entries), as_json=as_json)
    return found
