"""`trm checkpoints`: list, verify, prune, consolidate, import, export, push and pull checkpoints."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_cli.commands.options import completion
from trm_cli.commands.options.arguments import Json

if TYPE_CHECKING:
    from trm_cli.workflows.checkpoints import RunCheckpoints


class Form(StrEnum):
    """The file formats of `export`."""

    safetensors = "safetensors"
    original = "original"
    onnx = "onnx"


Run = Annotated[
    str | None,
    typer.Argument(
        help="A run directory; default: the one changed last.", autocompletion=completion.runs, show_default=False
    ),
]
RunOrFile = Annotated[
    str | None,
    typer.Argument(
        help="A run directory or a checkpoint file; default: the run changed last.", autocompletion=completion.runs
    ),
]

checkpoints = typer.Typer(
    no_args_is_help=True, help="List, verify, prune, convert, publish, import and export checkpoints."
)


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
    file: Annotated[
        Path,
        typer.Argument(
            help="A state dict of torch.save, a .safetensors file, or hf:OWNER/NAME/FILE.", show_default=False
        ),
    ],
    arch: Annotated[
        str | None,
        typer.Option(help="The architecture that it is for.", metavar="NAME", autocompletion=completion.architectures),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="The recipe to train it further with; its architecture and dataset.", autocompletion=completion.models
        ),
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
    form: Annotated[
        Form, typer.Option("--format", help="safetensors, the original code's layout, or one step as ONNX.")
    ] = (Form.safetensors),
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


@checkpoints.command("push")
def push(
    run: Annotated[
        str,
        typer.Argument(
            help="A run directory or a checkpoint file.", autocompletion=completion.runs, show_default=False
        ),
    ],
    repo: Annotated[str, typer.Argument(help="OWNER/NAME on the hub.", show_default=False)],
    licence: Annotated[
        str, typer.Option("--licence", "--license", help="Of the weights, such as apache-2.0.", metavar="ID")
    ] = "",
    private: Annotated[bool, typer.Option("--private", help="Show it to its owner alone.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="The raw weights, where the run has averaged ones.")] = False,
    as_json: Json = False,
) -> None:
    """Publish the weights of a run on the Hugging Face hub, with a model card written from the run.

    Settings, plan and the results of `trm evaluate` go with them; optimizer, carry and data do not. HF_ENDPOINT names
    another hub.

    [dim]Example: trm checkpoints push checkpoints/sudoku-6x6 me/sudoku-6x6 --licence mit[/dim]
    """
    from trm_cli.commands.options.arguments import expect_run
    from trm_cli.console.output import print_result
    from trm_cli.console.views.card import model_card
    from trm_cli.console.views.checkpoints import pushed_view
    from trm_cli.workflows.publish.hub import PushRequest
    from trm_cli.workflows.publish.hub import push as workflow

    expect_run(run)
    done = workflow(PushRequest(run, repo, licence, private, raw), model_card)
    print_result(asdict(done), pushed_view(done), as_json=as_json)


@checkpoints.command("pull")
def pull(
    repo: Annotated[str, typer.Argument(help="OWNER/NAME on the hub, or OWNER/NAME@REVISION.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="The folder to write (default: checkpoints/NAME).", metavar="FOLDER")
    ] = None,
    as_json: Json = False,
) -> None:
    """Download a published model into a folder of its own; `hf:OWNER/NAME` in the place of a RUN needs no pull.

    [dim]Example: trm checkpoints pull me/sudoku-6x6[/dim]
    """
    from trm_cli.console.output import print_result
    from trm_cli.console.views.checkpoints import pulled_view
    from trm_cli.workflows.publish.hub import pull as workflow

    done = workflow(repo, out)
    print_result(asdict(done), pulled_view(done), as_json=as_json)


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
