"""`trm evaluate`: measure the accuracy of a trained model; the result states its protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_cli.commands.options import completion
from trm_cli.commands.options.arguments import Device, Json, finite

if TYPE_CHECKING:
    from trm_cli.workflows.scores.evaluation_subject import EvaluationRequest

Target = Annotated[
    str | None,
    typer.Argument(
        metavar="[RUN|FILE]",
        help="A run, its name in checkpoints/, or a checkpoint; default: the latest run.",
        autocompletion=completion.runs,
    ),
]
Steps = Annotated[
    str | None,
    typer.Option(help="Supervision steps, several to compare (6,16,64); default: as trained.", metavar="N[,N...]"),
]
EarlyHalt = Annotated[
    bool, typer.Option("--early-halt", help="A row stops when the model says it is right, and leaves the batch.")
]
Policy = Annotated[
    str | None,
    typer.Option(
        help="By what rows stop: full (never early), bce (the halting head) or q (the Q-network).", metavar="q|bce|full"
    ),
]
Restarts = Annotated[int, typer.Option(min=1, help="Passes over each row, from random starts.", metavar="K")]
Views = Annotated[
    int, typer.Option(min=1, help="Passes over symmetries of each Sudoku or maze, the first plain.", metavar="K")
]
UntilSolved = Annotated[
    bool,
    typer.Option("--until-solved", help="Sudoku, mazes: try views and starts until an answer keeps the rules."),
]
MostViews = Annotated[int, typer.Option(min=1, help="Passes at most with --until-solved.", metavar="N")]
Noise = Annotated[float, typer.Option(min=0, callback=finite, help="How far random starts lie from the trained one.")]
Seed = Annotated[int, typer.Option(help="Root of the random starts.")]
Raw = Annotated[bool, typer.Option("--raw", help="The weights themselves, not their average (EMA).")]
Data = Annotated[list[Path] | None, typer.Option(help="Another dataset of the same vocabulary.", metavar="DIR")]
Split = Annotated[str, typer.Option(help="What to evaluate on.", metavar="train|test")]
Limit = Annotated[int | None, typer.Option(min=1, help="The first N puzzles (ARC: tasks).", metavar="N")]
Votes = Annotated[
    int | None,
    typer.Option(min=1, help="At most N augmentations of each puzzle; default: all, in training 1.", metavar="N"),
]
BatchSize = Annotated[int | None, typer.Option(min=1, help="Rows at a time; default: as in training.")]
Precision = Annotated[
    str | None, typer.Option(help="float32, bfloat16 or float16; default: that of the run.", metavar="TYPE")
]
Predictions = Annotated[Path | None, typer.Option(help="Write every answer: FILE.npz or FILE.parquet.", metavar="FILE")]
Out = Annotated[Path | None, typer.Option(help="Folder of results; default: RUN/evaluations.", metavar="DIR")]
Again = Annotated[bool, typer.Option("--again", help="Repeat an evaluation that has a result.")]


def evaluate(
    run: Target = None,
    steps: Steps = None,
    early_halt: EarlyHalt = False,
    policy: Policy = None,
    restarts: Restarts = 1,
    views: Views = 1,
    until_solved: UntilSolved = False,
    most_views: MostViews = 128,
    noise: Noise = 1.0,
    seed: Seed = 0,
    raw: Raw = False,
    data: Data = None,
    split: Split = "test",
    limit: Limit = None,
    votes: Votes = None,
    batch_size: BatchSize = None,
    device: Device = None,
    precision: Precision = None,
    predictions: Predictions = None,
    out: Out = None,
    again: Again = False,
    as_json: Json = False,
) -> None:
    """Score a trained model: accuracy with intervals, difficulty, calibration, steps, ARC votes.

    An evaluation that was stopped or killed continues where it was.

    [dim]Example: trm evaluate checkpoints/sudoku-4x4 --restarts 8[/dim]
    """
    from trm_cli.commands.options.arguments import expect_run
    from trm_cli.training.run.groups import find_group

    if not find_group(run):
        expect_run(run, device)
    from trm_cli.console.output import next_step, note, print_result
    from trm_cli.console.progress import EvaluationScreen
    from trm_cli.console.views.runs.evaluation import evaluation_screen
    from trm_cli.errors import ExitCode
    from trm_cli.training.run_files import is_run
    from trm_cli.workflows.scores.evaluate import run_evaluation
    from trm_cli.workflows.scores.evaluation_subject import EvaluationRequest

    depths = _depths(steps)
    request = EvaluationRequest(
        run=run, steps=max(depths, default=None), views=views, until_solved=most_views if until_solved else None,
        early_halt=early_halt, policy=policy, restarts=restarts, noise=noise, seed=seed, raw=raw,
        data=tuple(data or ()), split=split, limit=limit, votes=votes, batch_size=batch_size, device=device,
        precision=precision, predictions=predictions, out=out, again=again,
    )  # fmt: skip
    try:
        if group := find_group(run):
            _evaluate_group(group, request, as_json=as_json)
            return
        document, written = run_evaluation(request, EvaluationScreen())
    except KeyboardInterrupt:
        note("stopped; partial results are kept, and the same command continues from there")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    # The step-by-step solutions are in the file, for `trm report`; they are too long for the terminal.
    shown = {name: value for name, value in document.items() if name != "samples"}
    print_result(shown, evaluation_screen(document, depths if len(depths) > 1 else ()), as_json=as_json)
    for path in written:
        note(f"wrote {path}")
    if out is None and is_run(Path(document["run"])):
        next_step(("trm", "report", document["run"]))


def _evaluate_group(runs: Sequence[Path], request: EvaluationRequest, *, as_json: bool) -> None:
    """Evaluate every run of a group, and show the mean."""
    from trm_cli.console.output import next_step, print_result
    from trm_cli.console.progress import EvaluationScreen
    from trm_cli.console.views.runs.group import group_screen
    from trm_cli.workflows.scores.evaluate import run_evaluation
    from trm_cli.workflows.scores.groups import summarise_group

    documents = {run.name: run_evaluation(replace(request, run=str(run)), EvaluationScreen())[0] for run in runs}
    exact = {name: document["exact"]["value"] for name, document in documents.items()}
    summary = summarise_group({name: value for name, value in exact.items() if value is not None})
    whole = [{name: value for name, value in one.items() if name != "samples"} for one in documents.values()]
    print_result({"group": str(runs[0].parent), **summary, "runs": whole}, group_screen(summary), as_json=as_json)
    group = runs[0].parent
    next_step(("trm", "report", group), ("trm", "compare", group, "OTHER"))


def _depths(steps: str | None) -> list[int]:
    """The numbers of supervision steps that are asked for."""
    from trm_cli.errors import UsageError

    depths = [] if steps is None else steps.split(",")
    if not all(word.strip().isascii() and word.strip().isdigit() and 0 < int(word) < 2**31 for word in depths):
        raise UsageError(
            f"--steps {steps}: expected a number of supervision steps, or several with commas between them",
            hint="one pass shows the accuracy after each: --steps 6,16,64",
        )
    return [int(word) for word in depths]
