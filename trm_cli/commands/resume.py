"""`trm resume`: continue a run with the configuration that is stored in it."""

from __future__ import annotations

from typing import Annotated

import typer

from trm_cli.commands.options import completion
from trm_cli.commands.options.arguments import Device, DryRun, Processes, StopAtStep, Wandb
from trm_cli.commands.options.builder_gate import AllowBuilder
from trm_cli.training.signals import starting


@starting()
def resume(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN] [KEY=VALUE]...",
            autocompletion=completion.run_words,
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
    stop_at_step: StopAtStep = None,
    from_step: Annotated[
        int | None,
        typer.Option("--from", min=1, help="Go on after this step; newer checkpoints are set aside.", metavar="STEP"),
    ] = None,
    dry_run: DryRun = False,
    allow_builder: AllowBuilder = False,
) -> None:
    """Continue a run exactly where it stopped.

    [dim]Example: trm resume checkpoints/sudoku-4x4[/dim]
    """
    del allow_builder  # its callback has seen to it
    from trm_cli.commands.options.arguments import split_words, with_options
    from trm_cli.commands.options.running import train_and_exit
    from trm_cli.console.output import note
    from trm_cli.workflows.train.resume import load_resumed
    from trm_cli.workflows.train.train import TrainRequest

    named, overrides = split_words(words)
    changes = with_options(overrides, device=device, wandb=wandb)
    resumed = load_resumed(named, changes, from_step=from_step, extend_epochs=extend_epochs)
    for key, paths in resumed.moved.items():
        note(f"{key}: {', '.join(paths)}, as seen from where the run was started")
    request = TrainRequest(
        dry_run=dry_run,
        replan=replan or extend_epochs is not None,
        stop_at_step=stop_at_step,
        from_step=from_step,
        must_exist=True,
    )
    train_and_exit(resumed.resolved, request, nproc_per_node, resumed.resolved.config.checkpoint_path)
