"""`trm evaluate`: how often a trained model is right, by a protocol that the result names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trm_cli.commands.arguments import Device


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("evaluate")(evaluate_run)


def evaluate_run(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|FILE]", help="A run, its name in checkpoints/, or a checkpoint; default: the latest run."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Supervision steps; default: as trained. More is allowed.")
    ] = None,
    early_halt: Annotated[
        bool, typer.Option("--early-halt", help="A row stops when the model says it is right, and leaves the batch.")
    ] = False,
    restarts: Annotated[int, typer.Option(min=1, help="Passes over each row, from random starts.", metavar="K")] = 1,
    noise: Annotated[float, typer.Option(min=0, help="How far random starts lie from the trained one.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Root of the random starts.")] = 0,
    raw: Annotated[bool, typer.Option("--raw", help="The weights themselves, not their average (EMA).")] = False,
    data: Annotated[
        list[Path] | None, typer.Option(help="Another dataset of the same vocabulary.", metavar="DIR")
    ] = None,
    split: Annotated[str, typer.Option(help="What to evaluate on.", metavar="train|test")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="The first N puzzles (ARC: tasks).", metavar="N")] = None,
    votes: Annotated[
        int | None,
        typer.Option(min=1, help="At most N augmentations of each puzzle; default: all, in training 1.", metavar="N"),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Rows at a time; default: as in training.")] = None,
    device: Device = None,
    precision: Annotated[
        str | None, typer.Option(help="float32, bfloat16 or float16; default: that of the run.", metavar="TYPE")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Write every answer: FILE.npz or FILE.parquet.", metavar="FILE")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of results; default: RUN/evaluations.", metavar="DIR")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Repeat an evaluation that has a result.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Score a trained model: accuracy with intervals, difficulty, calibration, steps, ARC votes.

    An evaluation that is stopped or killed goes on where it was.

    [dim]Example: trm evaluate checkpoints/sudoku-4x4 --restarts 8[/dim]
    """
    from trm_cli.commands.evaluation_run import Wanted, carry_out
    from trm_cli.console.evaluation_view import show_evaluation
    from trm_cli.console.output import note, print_json, stdout
    from trm_cli.errors import ExitCode

    wanted = Wanted(
        run=run, steps=steps, early_halt=early_halt, restarts=restarts, noise=noise, seed=seed, raw=raw,
        data=tuple(data or ()), split=split, limit=limit, votes=votes, batch_size=batch_size, device=device,
        precision=precision, predictions=predictions, out=out, again=again,
    )  # fmt: skip
    try:
        document, written = carry_out(wanted)
    except KeyboardInterrupt:
        note("stopped; what is done is kept, and the same command goes on from there")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if json:
        # The puzzles with the way to their answers are in the file, for `trm report`: here they would drown the rest.
        print_json({name: value for name, value in document.items() if name != "samples"})
    else:
        show_evaluation(stdout(), document)
    for path in written:
        note(f"wrote {path}")
