"""`trm compare`: runs side by side, and whether one is better than chance explains."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trm_cli.commands.options import completion
from trm_cli.commands.options.arguments import Json


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="A B ...",
            help="Runs, or groups of runs with several seeds; each is tested against the first.",
            autocompletion=completion.runs,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Write the curves and tables: FILE.html, FILE.png or FILE.svg.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show runs side by side: settings that differ, plan, accuracy with intervals, and a test on the same puzzles.

    Two runs: exact McNemar test on the puzzles that both were evaluated on. Groups of seeds: permutation test of their
    means.

    [dim]Example: trm compare checkpoints/sudoku-4x4 checkpoints/other[/dim]
    """
    from trm_cli.commands.options.arguments import expect_folder
    from trm_cli.console.output import next_step, print_result, write_file
    from trm_cli.console.views.runs.comparison import comparison_document, comparison_screen
    from trm_cli.errors import UsageError
    from trm_cli.workflows.scores.compare import compare as workflow

    if out is not None and out.suffix not in (".html", ".png", ".svg"):
        raise UsageError(f"--out {out}: the name must end in .html, .png or .svg")
    expect_folder(out)
    found = workflow(runs)
    print_result(comparison_document(found), comparison_screen(found), as_json=as_json)
    if out is not None:
        from trm_cli.console.report.comparison import comparison_page, comparison_picture

        write_file(out, comparison_page(found) if out.suffix == ".html" else comparison_picture(found, out.suffix[1:]))
    if not as_json:
        next_step(*(("trm", "report", name) for name in runs[:2]))
