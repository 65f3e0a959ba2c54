"""`trm sweep`: train the trials of a file, each an ordinary run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trm_cli.commands.options.arguments import DryRun, Json
from trm_cli.commands.options.builder_gate import AllowBuilder

if TYPE_CHECKING:
    from trm_cli.workflows.train.jobs import Job


def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="A model, and the settings to search.")],
    jobs: Annotated[int, typer.Option(min=1, help="Trials at a time, as far as the memory allows.", metavar="N")] = 1,
    trial: Annotated[
        int | None, typer.Option(min=0, help="Train this trial alone, as a task of a SLURM array does.", metavar="N")
    ] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
    allow_builder: AllowBuilder = False,
) -> None:
    """Train many runs that differ in a few settings: a grid, random values, or what Optuna chooses.

    Each trial is a run of its own, which `trm resume` and `trm evaluate` know. The same command continues.

    [dim]Example: trm sweep sweep.yaml --jobs 2 --dry-run[/dim]
    """
    del allow_builder  # its callback has seen to it
    from trm_cli.console.output import next_step, note, print_result
    from trm_cli.console.tables import counted
    from trm_cli.console.views.runs import sweep as views
    from trm_cli.errors import ExitCode
    from trm_cli.workflows.sweep.definition import read_sweep
    from trm_cli.workflows.sweep.queues import in_words
    from trm_cli.workflows.sweep.sweep import best_of, plan_trials, results, run_sweep, run_trial

    found = read_sweep(file)
    if dry_run:
        note(f"planning the trials of {file}, and measuring what an update takes ...")
        planned = plan_trials(found)
        print_result(
            views.plans_document(found, planned, jobs), views.plans_screen(found, planned, jobs), as_json=as_json
        )
        next_step(("trm", "sweep", file, *(() if jobs == 1 else ("--jobs", jobs))))
        return

    def started(job: Job) -> None:
        note(f"{job.name}: {job.path}")

    if trial is not None:
        raise typer.Exit(run_trial(found, trial, started, None))
    note(f"sweep in {found.checkpoint_path}, {jobs} at a time")
    code = run_sweep(found, jobs, started, note if jobs > 1 or as_json else None)
    ended = results(found)
    best = best_of(ended, found)
    print_result(views.results_document(found, ended, best), views.results_screen(found, ended, best), as_json=as_json)
    if code:
        note(f"the same command continues: {counted(sum(one.state == 'complete' for one in ended), 'trial')} complete")
    elif best is not None:
        note(f"best: {in_words(best.trial.settings)}")
        next_step(("trm", "evaluate", best.trial.path))
    raise typer.Exit(code or ExitCode.DONE)
