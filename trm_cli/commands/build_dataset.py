"""`trm build-dataset`: run the builder that a model names, with the flags that its `dataset_args` stand for."""

from __future__ import annotations

from typing import Annotated

import typer

from trm_cli.commands.arguments import Json, Words


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("build-dataset")(build)


def build(
    words: Words = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Remove what was built before and start again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the command line and build nothing.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Print what would be built, and build nothing.")] = False,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; the result is the same.", metavar="N")] = None,
    shard: Annotated[str | None, typer.Option(help="Build part I of N, counted from 0.", metavar="I/N")] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Join the parts of all shards.")] = False,
    json: Json = False,
) -> None:
    """Build the dataset of a model, or continue a build that was interrupted.

    [dim]Example: trm build-dataset sudoku-4x4 --workers 2[/dim]
    """
    from trm_cli.commands.arguments import compose_words
    from trm_cli.console.output import print_json
    from trm_cli.console.views.build import BuildScreen, show_build_plan
    from trm_cli.data.building.builder_plan import plan_build
    from trm_cli.workflows.build import BuildRequest, build_dataset, builder_of, command_of

    entry = builder_of(compose_words(words))
    if plan:
        document = plan_build(command_of(entry, BuildRequest()))
        if json:
            print_json({"schema_version": 1, "model": entry.name, "plan": document})
        else:
            show_build_plan(entry.name, document)
        return
    request = BuildRequest(rebuild=rebuild, dry_run=dry_run, workers=workers, shard=shard, merge=merge)
    command = build_dataset(entry, request, BuildScreen())
    if json:
        print_json({
            "schema_version": 1,
            "model": entry.name,
            "output_dir": str(entry.dataset_args["output_dir"]),
            "command": command,
            "state": "not built" if dry_run else f"shard {shard}" if shard else "complete",
        })  # fmt: skip
