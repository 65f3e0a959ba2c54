"""`trm build-dataset`: run the dataset builder of a model with the flags of its `dataset_args`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from trm_cli.commands.options.arguments import Json, Words
from trm_cli.commands.options.builder_gate import AllowBuilder
from trm_cli.workflows.sharded_build import Executor


def build_dataset(
    words: Words = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Remove what was built before and start again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the command line and build nothing.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would be built, and build nothing.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; the result is the same.", metavar="N")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Build at most N items of each split: dataset_args.limit=N.", metavar="N")
    ] = None,
    shard: Annotated[str | None, typer.Option(help="Build part I of N, counted from 0.", metavar="I/N")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Join the parts of all shards.")] = False,
    executor: Annotated[
        Executor | None, typer.Option(help="Build all parts at once, here or on Ray, and join them.")
    ] = None,
    shards: Annotated[
        int | None, typer.Option(min=1, help="With --executor: how many parts; default: one per CPU core.", metavar="N")
    ] = None,
    as_json: Json = False,
    allow_builder: AllowBuilder = False,
) -> None:
    """Build the dataset of a model, or continue a build that was interrupted.

    [dim]Example: trm build-dataset sudoku-4x4 --workers 2[/dim]
    """
    from trm_cli.commands.options.arguments import compose_words
    from trm_cli.console.output import next_step, note, print_json
    from trm_cli.console.views.build import BuildScreen, show_build_plan, show_built
    from trm_cli.data.building.builder_plan import plan_build
    from trm_cli.errors import UsageError
    from trm_cli.workflows import build
    from trm_cli.workflows.sharded_build import build_parts

    limited = None if limit is None else str(limit)
    entry = build.builder_of(compose_words(words, **{"dataset_args.limit": limited}))
    if plan:
        with build.flags_placed(entry):
            document = plan_build(build.command_of(entry, build.BuildRequest()))
        if as_json:
            print_json({"model": entry.name, "plan": document})
        else:
            show_build_plan(entry.name, document)
            next_step(("trm", "build-dataset", *(words or ())))
        return
    if executor is not None:
        if rebuild or shard is not None or merge:
            raise UsageError("--executor builds all parts and joins them: leave --rebuild, --shard and --merge out")
        merge = True
        if not dry_run:
            words_given = [*(words or ()), *([f"dataset_args.limit={limit}"] if limit is not None else [])]
            allowed = ["--allow-builder"] if allow_builder else []
            build_parts([*words_given, *allowed], entry, executor, shards, note)
    elif shards is not None:
        raise UsageError("--shards belongs to --executor; --shard I/N builds one part")
    request = build.BuildRequest(rebuild=rebuild, dry_run=dry_run, workers=workers, shard=shard, merge=merge)
    started = time.monotonic()
    command = build.build_dataset(entry, request, BuildScreen())
    if not dry_run and shard is None:
        show_built(entry, time.monotonic() - started)
    elif not as_json:
        more = [] if shard is None else ["--shard", shard] if dry_run else ["--merge"]
        next_step(("trm", "build-dataset", *(words or ()), *more))
    if as_json:
        state = "not built" if dry_run else f"shard {shard}" if shard else "complete"
        output_dir = str(entry.dataset_args["output_dir"])
        print_json({"model": entry.name, "output_dir": output_dir, "command": command, "state": state})
