"""`trm resume`: continue a run with the configuration that is stored in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trm_cli.commands.arguments import Device, Processes, Wandb
from trm_cli.training.signals import starting


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("resume")(resume)


@starting()
def resume(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN] [KEY=VALUE]...",
            help="A run directory (default: the one changed last in checkpoints/), then settings to change.",
            show_default=False,
        ),
    ] = None,
    device: Device = None,
    wandb: Wandb = None,
    nproc_per_node: Processes = None,
    extend_epochs: Annotated[
        int | None, typer.Option(min=1, help="Train for this many epochs in all, with a new plan.", metavar="EPOCHS")
    ] = None,
    replan: Annotated[bool, typer.Option("--replan", help="Accept settings that change the schedule.")] = False,
    stop_at_step: Annotated[
        int | None, typer.Option(min=1, help="Stop after this step; the schedule stays as it is.", metavar="STEP")
    ] = None,
    from_step: Annotated[
        int | None,
        typer.Option("--from", min=1, help="Go on after this step; newer checkpoints are set aside.", metavar="STEP"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print everything, write nothing.")] = False,
) -> None:
    """Continue a run exactly where it stopped.

    [dim]Example: trm resume checkpoints/sudoku-4x4[/dim]
    """
    from trm_cli.commands.arguments import split_words, with_options
    from trm_cli.config.compose import load_run_config
    from trm_cli.errors import UsageError
    from trm_cli.training.run.find_run import find_run
    from trm_cli.workflows.train import TrainRequest, run_training

    named, overrides = split_words(words)
    run = find_run(named)
    if named is not None and Path(named).suffix == ".pt" and from_step is None:
        raise UsageError(
            f"{named} is one file of the run {run}, which goes on from its newest one",
            hint=f"trm resume {run} --from STEP goes on from an older one",
        )
    epochs = None if extend_epochs is None else str(extend_epochs)
    changes = with_options(overrides, device=device, wandb=wandb, epochs=epochs)
    # The run is where it was found, wherever it was when it was started.
    resolved = load_run_config(run, [*_moved_data(run, overrides), *changes, f"checkpoint_path={Path(run)}"])
    request = TrainRequest(
        dry_run=dry_run,
        replan=replan or extend_epochs is not None,
        stop_at_step=stop_at_step,
        from_step=from_step,
        must_exist=True,
        nproc_per_node=nproc_per_node,
    )
    raise typer.Exit(run_training(resolved, request))


def _moved_data(run: Path, overrides: list[str]) -> list[str]:
    """Where the data of a run lies as seen from here, for a run that was started in another working directory."""
    import json

    from trm_cli.config.compose import load_run_config
    from trm_cli.console.output import note
    from trm_cli.training.run.run_directory import RunDirectory

    config = load_run_config(run).config
    moved = []
    for name, paths in (("data_paths", config.data_paths), ("data_paths_test", config.data_paths_test)):
        found = RunDirectory(run).elsewhere(paths)
        if found is not None and not any(word.startswith(f"{name}=") for word in overrides):
            note(f"{name}: {', '.join(found)}, as seen from where the run was started")
            moved.append(f"{name}={json.dumps(found)}")
    return moved
