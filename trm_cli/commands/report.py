"""`trm report`: write a report of a run as a page or a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trm_cli.commands.options import completion


def report(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="A run or its name in checkpoints/; default: the latest.",
            autocompletion=completion.runs,
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="FILE.html or FILE.png; default: RUN/report.html.", metavar="FILE")
    ] = None,
    evaluate: Annotated[
        int | None,
        typer.Option(min=1, help="Evaluate the first N puzzles where there is no evaluation yet.", metavar="N"),
    ] = None,
) -> None:
    """Draw a run on one page: curves, schedule, accuracy by difficulty, step-by-step solutions, metadata.

    Of a group of seeds: their curves and their mean. Accuracy and puzzles come from the run's evaluations (`trm
    evaluate RUN`).

    [dim]Example: trm report checkpoints/sudoku-4x4 --out report.png[/dim]
    """
    from trm_cli.commands.options.arguments import expect_folder
    from trm_cli.console.output import next_step, note, write_file
    from trm_cli.console.progress import EvaluationScreen
    from trm_cli.console.report.page import page, picture
    from trm_cli.errors import UsageError
    from trm_cli.shell import command_line
    from trm_cli.training.checkpoint.store import CheckpointStore
    from trm_cli.training.run.find_run import find_run
    from trm_cli.training.run.groups import find_group
    from trm_cli.workflows.scores.report import collect

    if out is not None and out.suffix not in (".html", ".png"):
        raise UsageError(f"--out {out}: the name must end in .html or .png", hint=f"--out {out.with_suffix('.html')}")
    expect_folder(out)
    if group := find_group(run):
        from trm_cli.console.report.comparison import comparison_page, comparison_picture
        from trm_cli.workflows.scores.compare import group_alone

        found, path = group_alone(str(group[0].parent)), out or group[0].parent / "report.html"
        write_file(path, comparison_picture(found, "png") if path.suffix == ".png" else comparison_page(found))
        next_step(("trm", "compare", group[0].parent, "OTHER"))
        return
    directory = find_run(run)
    path = out or directory / "report.html"
    record = collect(directory, evaluate, EvaluationScreen())
    content = picture(record) if path.suffix == ".png" else page(record)
    trained = bool(CheckpointStore(directory).steps())
    if record.evaluation is None:
        evaluation = command_line("trm", "evaluate", directory)
        made = f"`{evaluation}` makes them, or --evaluate 200" if trained else "the run has no checkpoint yet"
        note(f"without accuracy by difficulty and puzzles: {made}")
    write_file(path, content)
    if trained:
        next_step(("trm", "demo", directory))
