"""`trm inspect-schedule`: everything that a run will do, before it is paid for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from trm_cli.schedule.plan import TrainingPlan
    from trm_cli.workflows.planning import Planned

_KINDS = (".png", ".svg", ".csv", ".json")
_EPILOG = "Example:  trm inspect-schedule sudoku-extreme epochs=100 --samples-per-epoch 1000 --plot --at 0,50%,100%"


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("inspect-schedule", epilog=_EPILOG)(inspect_schedule)


def inspect_schedule(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL|RUN|KEY=VALUE",
            help="A model, a YAML file or a run directory; then overrides, applied last.",
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
    arch: Annotated[
        str | None, typer.Option("--arch", metavar="NAME", help="The same as the override arch=NAME.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, nothing else, on stdout.")] = False,
) -> None:
    """Show the plan of a run: steps, boundaries, evaluations, checkpoints, and what to beware of.

    Before a dataset is built its builder says the counts; a run directory shows the plan it was started with.
    """
    from trm_cli.commands.arguments import split_words, with_options
    from trm_cli.console.output import print_json, stdout
    from trm_cli.errors import UsageError
    from trm_cli.workflows.planning import plan_other, plan_target

    _check_options(out, plot=plot, as_json=as_json, at=at, compare=compare)
    target, overrides = split_words(words)
    overrides = with_options(overrides, arch=arch)
    planned = plan_target(target, overrides, samples_per_epoch)
    other = plan_other(compare, samples_per_epoch) if compare is not None else None
    try:
        steps = [planned.plan.step_at(word) for option in at or [] for word in option.split(",")]
    except ValueError as error:
        raise UsageError(f"--at: {error}") from error
    if as_json:
        print_json(_document(planned, steps) if other is None else _both(planned, other))
    else:
        _print(planned, other, steps, plot=plot, console=stdout())
    if out is not None:
        _write(out, planned, steps)


def _check_options(out: Path | None, *, plot: bool, as_json: bool, at: list[str] | None, compare: str | None) -> None:
    from trm_cli.errors import UsageError

    if as_json and plot:
        raise UsageError("--json prints one document and --plot draws: choose one of them")
    if compare is not None and (at or out is not None):
        raise UsageError("--at and --out are about one plan; leave them out beside --compare")
    if out is not None and out.suffix.lower() not in _KINDS:
        raise UsageError(f"--out writes {', '.join(_KINDS)}, not {out.name!r}", hint="for example --out plan.png")
    if out is not None and not out.parent.is_dir():
        raise UsageError(f"--out: the directory {out.parent} does not exist")


def _print(planned: Planned, other: Planned | None, steps: list[int], *, plot: bool, console: Any) -> None:
    from trm_cli.console.plots import SchedulePlot
    from trm_cli.console.views.plan import PlanView, comparison_view, values_view

    if other is not None:
        console.print(comparison_view(planned.plan, other.plan, (planned.title, other.title)))
    else:
        console.print(PlanView(planned.plan, title=planned.title, sources=planned.sources))
    if plot:
        for each in (planned, *([other] if other else [])):
            console.print()
            if other is not None:
                console.print(f"{each.title}\n", style="bold", markup=False)
            console.print(SchedulePlot(each.plan.quantities, each.plan.total_steps))
    if steps:
        console.print()
        console.print(values_view(planned.plan, steps, console.width))


def _document(planned: Planned, steps: list[int]) -> dict[str, Any]:
    """The plan as run directories keep it, with what this command knows besides."""
    plan = planned.plan
    used = {segment.key for quantity in plan.quantities for segment in quantity.segments}
    document = plan.to_json() | {
        "name": planned.name,
        "sources": {key: planned.sources[key] for key in sorted(used) if key in planned.sources},
    }
    if steps:
        document["at"] = [{"step": step, "values": plan.record_at(step)} for step in steps]
    return document


def _both(planned: Planned, other: Planned) -> dict[str, Any]:
    from trm_cli.schedule.comparison import compare

    rows = compare(planned.plan, other.plan)
    return {
        "schema_version": 1,
        "differences": sum(row.differs for row in rows),
        "differ_in": list(dict.fromkeys(row.what for row in rows if row.differs)),
        "plans": [_document(planned, []), _document(other, [])],
    }


def _write(out: Path, planned: Planned, steps: list[int]) -> None:
    from trm_cli.console.output import note
    from trm_cli.data.files.durable import write_atomically
    from trm_cli.errors import TrmError

    content = _content(out.suffix.lower(), planned, steps)
    try:
        write_atomically(out, content)
    except OSError as error:
        raise TrmError(f"{out} cannot be written: {error.strerror or error}") from error
    note(f"wrote {out} ({len(content):,} bytes)")


def _content(kind: str, planned: Planned, steps: list[int]) -> bytes:
    import json

    from trm_cli.console.report.plan_figures import numbers, picture

    plan: TrainingPlan = planned.plan
    if kind == ".json":
        return (json.dumps(_document(planned, steps), indent=2, allow_nan=False) + "\n").encode()
    if kind == ".csv":
        return numbers(plan).encode()
    return picture(plan, planned.title, kind.removeprefix("."))
