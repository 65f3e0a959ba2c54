"""`trm launch`: write the job file of an engine that runs on many machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trm_cli.commands.options.arguments import Architecture, Json, Words
from trm_cli.version import __version__
from trm_cli.workflows.launch.launch import Engine


def launch(
    engine: Annotated[Engine, typer.Argument(help="What runs the job.")],
    words: Words = None,
    arch: Architecture = None,
    nodes: Annotated[int, typer.Option(min=1, max=10_000, help="Machines.", metavar="N")] = 1,
    gpus: Annotated[int, typer.Option(min=0, max=128, help="GPUs per machine; 0 = CPU only.", metavar="G")] = 1,
    seeds: Annotated[
        str | None, typer.Option(help="SLURM: an array with a task for each seed.", metavar="N,N...|COUNT")
    ] = None,
    sweep: Annotated[
        Path | None, typer.Option(help="SLURM: an array with a task for each trial of `trm sweep`.", metavar="FILE")
    ] = None,
    shards: Annotated[
        int | None, typer.Option(min=2, help="SLURM: an array that builds the dataset in so many parts.", metavar="N")
    ] = None,
    at_once: Annotated[int | None, typer.Option(min=1, help="Tasks of an array at a time.", metavar="N")] = None,
    time: Annotated[
        str | None, typer.Option(help="SLURM: time limit, 04:00:00 or 2-00:00:00.", metavar="LIMIT")
    ] = None,
    partition: Annotated[str | None, typer.Option(help="SLURM: partition.", metavar="NAME")] = None,
    accelerator: Annotated[str, typer.Option(help="SkyPilot: kind of GPU.", metavar="NAME")] = "H100",
    bucket: Annotated[str | None, typer.Option(help="SkyPilot: bucket that keeps the runs.", metavar="NAME")] = None,
    spot: Annotated[bool, typer.Option("--spot/--on-demand", help="SkyPilot: kind of instance.")] = True,
    image: Annotated[str, typer.Option(help="Kubernetes: container image.", metavar="IMAGE")] = f"trm:{__version__}",
    claim: Annotated[str, typer.Option(help="Kubernetes: PersistentVolumeClaim.", metavar="NAME")] = "trm",
    out: Annotated[Path | None, typer.Option(help="Folder of the files; default: in jobs/.", metavar="DIR")] = None,
    submit: Annotated[bool, typer.Option("--submit", help="Hand the job over to the engine.")] = False,
    as_json: Json = False,
) -> None:
    """Write the job file of a training, and its resolved configuration; submit it only if asked.

    [dim]Example: trm launch slurm sudoku-extreme --nodes 2 --gpus 8 --time 04:00:00[/dim]
    """
    from rich.text import Text

    from trm_cli.commands.options.arguments import compose_words, split_words
    from trm_cli.console.output import next_step, note, print_result
    from trm_cli.errors import UsageError
    from trm_cli.workflows.launch.launch import LaunchRequest, write_job
    from trm_cli.workflows.launch.launch import submit as hand_over

    if sweep is not None and (words or arch is not None):
        raise UsageError(
            "--sweep: the file names the model and its settings", hint="leave MODEL, --arch and settings out"
        )
    if sweep is not None:
        from trm_cli.workflows.sweep.definition import read_sweep
        from trm_cli.workflows.sweep.trials import planned_trials

        found = read_sweep(sweep)
        resolved = planned_trials(found)[0].resolved(found)
    else:
        if split_words(words)[0] is None:
            raise UsageError("which model?", hint=f"trm launch {engine.value} sudoku-extreme")
        resolved = compose_words(words, arch=arch)
    request = LaunchRequest(
        engine=engine, nodes=nodes, gpus=gpus, seeds=seeds, sweep=sweep, shards=shards, at_once=at_once, time=time,
        partition=partition, accelerator=accelerator, bucket=bucket, spot=spot, image=image, claim=claim, folder=out,
    )  # fmt: skip
    made = write_job(resolved, request)
    document = {
        "job_file": str(made.job_file),
        "job": made.job,
        "config_file": str(made.config_file),
        "config": made.config,
        "submit": list(made.submit),
    }
    print_result(document, Text(f"{made.job}\n{made.config}", no_wrap=True, overflow="ignore"), as_json=as_json)
    note(f"wrote {made.job_file} and {made.config_file}")
    if submit:
        raise typer.Exit(hand_over(made))
    next_step(made.submit)
    note("(the same command with --submit does that)")
