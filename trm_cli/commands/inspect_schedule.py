"""`trm inspect-schedule`: show the plan of a run before it is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trm_cli.commands.options import completion
from trm_cli.commands.options.arguments import Architecture, Json
from trm_cli.commands.options.builder_gate import AllowBuilder

_KINDS = (".png", ".svg", ".csv", ".json")


def inspect_schedule(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL|RUN|KEY=VALUE",
            help="A model, a YAML file or a run directory; then overrides, applied last.",
            autocompletion=completion.planned_words,
            show_default=False,
        ),
    ] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Draw the curves in the terminal.")] = False,
    at: Annotated[
        list[str] | None,
        typer.Option("--at", metavar="STEP", help="Every value at a step: 5000 or 50%; several, or 0,50%,100%."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the plan as .png, .svg, .csv or .json.")
    ] = None,
    compare: Annotated[
        str | None, typer.Option("--compare", metavar="OTHER", help="Show another model, YAML file or run beside it.")
    ] = None,
    samples_per_epoch: Annotated[
        str | None, typer.Option("--samples-per-epoch", metavar="N", help="Plan for so many samples; needs no dataset.")
    ] = None,
    arch: Architecture = None,
    as_json: Json = False,
    allow_builder: AllowBuilder = False,
) -> None:
    """Show the plan of a run: steps, boundaries, evaluations, checkpoints, warnings.

    Before a dataset is built its builder says the counts; a run directory shows the plan it was started with.

    [dim]Example: trm inspect-schedule sudoku-extreme epochs=100 --samples-per-epoch 1000 --plot --at 0,50%,100%[/dim]
    """
    del allow_builder  # its callback has seen to it
    from trm_cli.commands.options.arguments import split_words, with_options
    from trm_cli.console.output import next_step, note, print_json, stdout, write_file
    from trm_cli.console.views.runs.plan import comparison_document, plan_document, show_planned
    from trm_cli.errors import UsageError
    from trm_cli.training.run_files import is_run
    from trm_cli.workflows.planning import plan_other, plan_target

    _check_options(out, plot=plot, as_json=as_json, at=at, compare=compare)
    target, overrides = split_words(words)
    overrides = with_options(overrides, arch=arch)
    planned = plan_target(target, overrides, samples_per_epoch, note)
    other = plan_other(compare, samples_per_epoch, note) if compare is not None else None
    try:
        steps = [planned.plan.step_at(word) for option in at or [] for word in option.split(",")]
    except ValueError as error:
        raise UsageError(f"--at: {error}") from error
    if as_json:
        print_json(plan_document(planned, steps) if other is None else comparison_document(planned, other))
    else:
        show_planned(stdout(), planned, other, steps, plot=plot)
    if out is not None:
        from trm_cli.console.report.plan_figures import plan_file

        write_file(out, plan_file(out.suffix.lower(), planned, steps))
    if not as_json:
        command = "resume" if target is not None and is_run(Path(target)) else "train"
        next_step(("trm", command, *([] if target is None else [target]), *overrides))


def _check_options(out: Path | None, *, plot: bool, as_json: bool, at: list[str] | None, compare: str | None) -> None:
    from trm_cli.commands.options.arguments import expect_folder
    from trm_cli.errors import UsageError

    if as_json and plot:
        raise UsageError("--json prints one document and --plot draws: choose one of them")
    if compare is not None and (at or out is not None):
        raise UsageError("--at and --out are about one plan; leave them out beside --compare")
    if out is not None and out.suffix.lower() not in _KINDS:
        raise UsageError(f"--out writes {', '.join(_KINDS)}, not {out.name!r}", hint="for example --out plan.png")
    expect_folder(out)
