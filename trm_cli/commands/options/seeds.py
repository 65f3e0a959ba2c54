"""`trm train --seeds`: train one recipe with several seeds, and show their mean."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved


def train_and_exit(
    resolved: Resolved, seeds: str, jobs: int, options: Sequence[str], *, dataset_only: bool
) -> NoReturn:
    """Train the runs that are not complete, show the accuracies, and exit with one status for all.

    options: of `trm train`, for each run. dataset_only: refused, since the runs share their dataset.
    """
    from trm_cli.console.output import next_step, note, stdout
    from trm_cli.console.tables import counted
    from trm_cli.console.views.runs.group import group_screen
    from trm_cli.errors import ExitCode, UsageError
    from trm_cli.workflows.scores.groups import last_accuracies, summarise_group
    from trm_cli.workflows.train.jobs import Queue, run_jobs
    from trm_cli.workflows.train.seeds import dataset_command, parse_seeds, seed_runs

    if dataset_only:
        raise UsageError("the dataset is one for all seeds: build it without --seeds, then train")
    runs = seed_runs(resolved, parse_seeds(seeds), options)
    group = runs[0].path.parent
    dry_run = "--dry-run" in options
    if jobs > 1 and not dry_run and (code := subprocess.run(dataset_command(resolved), check=False).returncode):
        raise typer.Exit(code)
    note(f"{counted(len(runs), 'run')} in {group}, {min(jobs, len(runs))} at a time")
    code = run_jobs(Queue(runs), jobs, lambda run: note(f"{run.name}: {run.path}"), note if jobs > 1 else None)
    found = last_accuracies([run.path for run in runs])
    if found and not dry_run:
        stdout().print(group_screen(summarise_group(found)))
    if code == ExitCode.DONE and not dry_run:
        next_step(("trm", "evaluate", group))
    elif code:
        note("the same command continues: runs that are complete stay as they are")
    raise typer.Exit(code)
