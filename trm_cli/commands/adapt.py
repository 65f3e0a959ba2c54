"""`trm adapt`: learn new ARC tasks from their demonstrations, vote, and write a submission."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trm_cli.commands.options import completion
from trm_cli.commands.options.arguments import Device, DryRun, Json, TrainedRun
from trm_cli.training.signals import starting

Tasks = Annotated[
    Path | None,
    typer.Argument(help="A challenges file, a folder of one JSON a task, or one task.", show_default=False),
]
Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Settings such as lr=1e-4, arch.H_cycles=4 or freeze_weights=true.",
        autocompletion=completion.settings,
        show_default=False,
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(help="All the time it may take, voting included: 11h, 10m; 0: only vote.", metavar="TIME"),
]
Updates = Annotated[int | None, typer.Option(min=0, help="Learn for N updates instead.", metavar="N")]
Augmentations = Annotated[int, typer.Option(min=0, help="Augmentations of each task, to learn and to vote with.")]
Votes = Annotated[int | None, typer.Option(min=1, help="At most N votes for each test input; default: all.")]
LeaveOut = Annotated[
    int,
    typer.Option(min=0, help="Of N tasks, test on one demonstration during the training instead of learning it."),
]
EarlyStop = Annotated[
    bool, typer.Option("--early-stop", help="Skip a task in training while all its demonstrations are solved.")
]
Rows = Annotated[
    str,
    typer.Option(
        help="Initial puzzle embedding of a new task: mean of the trained rows, or zero.", metavar="mean|zero"
    ),
]
BundleFolder = Annotated[
    Path | None,
    typer.Option("--bundle", help="Write a folder to adapt RUN without network instead: no TASKS.", metavar="DIR"),
]
Out = Annotated[Path | None, typer.Option(help="Write the submission here, too.", metavar="FILE")]


@starting()
def adapt(
    run: TrainedRun,
    tasks: Tasks = None,
    words: Words = None,
    budget: Budget = None,
    updates: Updates = None,
    augmentations: Augmentations = 128,
    votes: Votes = None,
    leave_out: LeaveOut = 0,
    early_stop: EarlyStop = False,
    rows: Rows = "mean",
    out: Out = None,
    bundle: BundleFolder = None,
    device: Device = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Learn new ARC tasks from their demonstrations, and write two attempts for each test input.

    It works in a run of its own, checkpoints/RUN-adapt-TASKS; RUN is only read. Killed, the same line continues.

    [dim]Example: trm adapt checkpoints/arc-1 arc-agi_test_challenges.json --budget 11h --out submission.json[/dim]
    """
    import time
    from dataclasses import asdict

    from trm_cli.commands.options.arguments import expect_folder, expect_run, with_options
    from trm_cli.console.output import next_step, print_result
    from trm_cli.console.views.runs.adapt import AdaptScreen, adapt_screen, bundle_screen
    from trm_cli.errors import ExitCode, UsageError
    from trm_cli.workflows.adapt.adapt import adapt as workflow
    from trm_cli.workflows.adapt.request import AdaptRequest
    from trm_cli.workflows.adapt.stopwatch import process_age

    if bundle is not None and tasks is not None and "=" in tasks.name:  # there are no tasks: it is the first setting
        tasks, words = None, [str(tasks), *(words or ())]
    if (bundle is None) == (tasks is None):
        raise UsageError("name the tasks: trm adapt RUN TASKS" if bundle is None else "a bundle has no TASKS yet")
    expect_folder(out)
    expect_run(run, device)
    request = AdaptRequest(
        run=run,
        tasks=tasks or Path(),
        updates=updates,
        budget=_seconds(budget),
        augmentations=augmentations,
        votes=votes,
        leave_out=leave_out,
        early_stop=early_stop,
        rows=rows,
        words=tuple(with_options(words or (), device=device)),
        out=out,
        dry_run=dry_run,
        process_began=time.monotonic() - process_age(),
    )
    if bundle is not None:
        from trm_cli.workflows.adapt.bundle import write_bundle

        made = write_bundle(request, bundle)
        print_result(asdict(made), bundle_screen(made), as_json=as_json)
        return
    result = workflow(request, AdaptScreen())
    if not dry_run or as_json:
        print_result(result.document, "" if dry_run else adapt_screen(result.document), as_json=as_json)
    if result.exit_code is ExitCode.DONE and not dry_run and not as_json and result.document.get("updates"):
        next_step(("trm", "report", result.document["run"]))
    raise typer.Exit(result.exit_code)


def _seconds(budget: str | None) -> float | None:
    from trm_cli.units import seconds_of

    if budget is not None and budget.strip().lower() in ("0", "0s", "0m", "0h"):
        return 0.0
    try:
        return None if budget is None else seconds_of(budget)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--budget") from error
