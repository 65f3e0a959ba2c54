"""`trm train`: build the dataset if it is missing, print the plan, then train or continue."""

from __future__ import annotations

from typing import Annotated

import typer

from trm_cli.commands.options.arguments import Architecture, Device, DryRun, Processes, StopAtStep, Wandb, Words
from trm_cli.commands.options.builder_gate import AllowBuilder
from trm_cli.training.signals import starting


@starting()
def train(
    words: Words = None,
    arch: Architecture = None,
    device: Device = None,
    wandb: Wandb = None,
    nproc_per_node: Processes = None,
    dry_run: DryRun = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the run's checkpoints and start again.")] = False,
    replan: Annotated[
        bool, typer.Option("--replan", help="Continue although the settings changed the schedule.")
    ] = False,
    stop_at_step: StopAtStep = None,
    dataset_only: Annotated[bool, typer.Option("--dataset-only", help="Build the dataset, do not train.")] = False,
    rebuild_dataset: Annotated[
        bool, typer.Option("--rebuild-dataset", help="Build the dataset again, from the start.")
    ] = False,
    incremental: Annotated[
        bool,
        typer.Option(
            "--incremental/--no-incremental",
            help="Train on the chunks that are finished while the dataset is still being built, or build first.",
        ),
    ] = True,
    seeds: Annotated[
        str | None,
        typer.Option(help="Train once for each seed, in RUN/seed-N: 0,1,2, or how many.", metavar="N,N...|COUNT"),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="With --seeds: runs at a time.", metavar="N")] = 1,
    allow_builder: AllowBuilder = False,
) -> None:
    """Train a model; where its run has a checkpoint, continue it.

    [dim]Example: trm train sudoku-4x4 epochs=40 --device cpu[/dim]
    """
    del allow_builder  # its callback has seen to it
    from trm_cli.commands.options.arguments import compose_words
    from trm_cli.commands.options.running import train_and_exit
    from trm_cli.workflows.train.train import TrainRequest

    resolved = compose_words(words, arch=arch, device=device, wandb=wandb)
    if seeds is not None:
        from trm_cli.commands.options.seeds import train_and_exit as train_all

        flags = {"--fresh": fresh, "--replan": replan, "--dry-run": dry_run, "--no-incremental": not incremental}
        numbers = {"--stop-at-step": stop_at_step, "--nproc-per-node": nproc_per_node}
        options = [name for name, wanted in flags.items() if wanted]
        options += [word for name, value in numbers.items() if value is not None for word in (name, str(value))]
        train_all(resolved, seeds, jobs, options, dataset_only=dataset_only or rebuild_dataset)
    request = TrainRequest(
        dry_run=dry_run,
        fresh=fresh,
        replan=replan,
        stop_at_step=stop_at_step,
        dataset_only=dataset_only,
        rebuild_dataset=rebuild_dataset,
        incremental=incremental,
    )
    train_and_exit(resolved, request, nproc_per_node)
