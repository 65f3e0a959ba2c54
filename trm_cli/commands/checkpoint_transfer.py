"""`trm checkpoints import` and `export`: weights of the original code in, weights for other programs out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from trm_cli.commands.arguments import Json


class Form(StrEnum):
    """What `export` writes."""

    safetensors = "safetensors"
    original = "original"


def register(group: typer.Typer) -> None:
    """Add both commands to the group `trm checkpoints`."""
    group.command("import")(import_file)
    group.command("export")(export_run)


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
    from trm_cli.console.output import note, print_json, stdout
    from trm_cli.console.views.checkpoints import imported_view
    from trm_cli.errors import UsageError
    from trm_cli.training.hardware.devices import prepare_threads

    if model is None and (arch is None or dataset is None):
        raise UsageError("what is this file for? name --arch and --dataset, or --model", hint="trm configs list")
    prepare_threads()  # before torch is imported
    from trm_cli.training.transfer.importing import ImportRequest, import_weights

    note(f"reading {file}")
    run = out or Path("checkpoints") / f"imported-{file.name.removesuffix('.safetensors').removesuffix('.pt')}"
    done = import_weights(ImportRequest(file, run, arch, model, dataset, identifiers, new_puzzle_table), note)
    if as_json:
        print_json({"schema_version": 1, **done.to_json()})
    else:
        stdout().print(imported_view(done))


def export_run(
    run: Annotated[
        str | None, typer.Argument(help="A run directory or a checkpoint file; default: the run changed last.")
    ] = None,
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
    from trm_cli.console.output import note, print_json, stdout
    from trm_cli.console.views.checkpoints import exported_view
    from trm_cli.errors import UsageError
    from trm_cli.training.run.find_run import find_run
    from trm_cli.training.transfer.exporting import export_weights, write_identifiers

    if out is None:
        raise UsageError("no file is named to write to", hint="--out FILE")
    if out.is_dir() or (out.suffix == ".pt" and (out.parent / "config.yaml").is_file()):
        raise UsageError(f"{out} would stand among the run's own files", hint="choose another file: --out FILE")
    note(f"reading {find_run(run)}")
    if identifiers is not None:  # first: without its names a table is of no use
        note(f"{identifiers}: the names of {write_identifiers(run, identifiers):,} rows")
    done = export_weights(run, out, form.value, averaged=ema, compiled=compiled)
    if as_json:
        print_json({"schema_version": 1, **done.to_json()})
    else:
        stdout().print(exported_view(done))
