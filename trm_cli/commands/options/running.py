"""Start training for `train`, `resume` and `quickstart`: in this process, or in several processes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved
    from trm_cli.workflows.observers import TrainingResult
    from trm_cli.workflows.train.train import TrainRequest


def train_here(
    resolved: Resolved, request: TrainRequest, run: str | None = None, nproc_per_node: int | None = None
) -> TrainingResult:
    """Train in this process and show it. Where it is one of several training processes, it exits here.

    run: the run that is resumed.
    """
    from trm_cli.console.views.runs.run import TrainingScreen
    from trm_cli.workflows.train.train import run_training

    numbers = {"--nproc-per-node": nproc_per_node, "--from": request.from_step, "--stop-at-step": request.stop_at_step}
    options = [word for name, value in numbers.items() if value is not None for word in (name, str(value))]
    options += ["--replan"] * (request.replan and run is not None)
    screen = TrainingScreen(run, options, dry_run=request.dry_run)
    if os.environ.get("RANK", "0") == "0":
        screen.announce(resolved)
    result = run_training(resolved, request, screen)
    if result.processes > 1:
        from trm_cli.training.distributed.joining import end_process

        end_process(result.exit_code)
    return result


def train_and_exit(
    resolved: Resolved, request: TrainRequest, nproc_per_node: int | None, run: str | None = None
) -> NoReturn:
    """Train in `nproc_per_node` processes (None: in this one), and exit with the exit code of the run."""
    from trm_cli.training.distributed.launcher import launch, wants_launch

    if wants_launch(resolved.config.global_batch_size, nproc_per_node, trains=request.trains):
        from trm_cli.console.output import note

        raise typer.Exit(launch([sys.executable, "-m", "trm_cli", *sys.argv[1:]], nproc_per_node or 1, note))
    raise typer.Exit(train_here(resolved, request, run, nproc_per_node).exit_code)
