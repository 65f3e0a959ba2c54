"""`trm build-dataset`: run the builder that a model names, with the flags that its `dataset_args` stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trm_cli.commands.arguments import Json, Words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trm_cli.config.registry import RegistryEntry


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("build-dataset")(build_dataset)


def build_dataset(
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
    from trm_cli.config.dataset_args import builder_flags
    from trm_cli.console.output import print_json
    from trm_cli.console.views.build import show_plan
    from trm_cli.data.building.builder_process import plan_build
    from trm_cli.errors import UsageError

    entry = compose_words(words).registry
    if entry is None:
        raise UsageError("this model has no dataset builder", hint="name a model of `trm configs list`")
    if plan:
        document = plan_build(entry.dataset_builder, builder_flags(entry.dataset_args))
        if json:
            print_json({"schema_version": 1, "model": entry.name, "plan": document})
        else:
            show_plan(entry.name, document)
        return
    more = ["--merge"] * merge
    more += ["--workers", str(workers)] if workers is not None else []
    more += ["--shard", shard] if shard is not None else []
    command = build(entry, rebuild=rebuild, dry_run=dry_run, more=more)
    if json:
        state = "not built" if dry_run else f"shard {shard}" if shard else "complete"
        print_json(_report(entry, command, state))


def build(entry: RegistryEntry, *, rebuild: bool = False, dry_run: bool = False, more: Sequence[str] = ()) -> list[str]:
    """Run the builder of a model with a progress bar, or only print its command line, which is returned."""
    from trm_cli.config.dataset_args import builder_flags
    from trm_cli.console.views.build import BuildView, show_command
    from trm_cli.data.building.builder_process import builder_command, run_build

    flags = [*builder_flags(entry.dataset_args), *["--rebuild"] * rebuild, *more]
    command = builder_command(entry.dataset_builder, flags)
    show_command(command)
    if not dry_run:
        with BuildView(entry.title) as view:
            run_build(entry.dataset_builder, flags, view.progress, view.line)
    return command


def _report(entry: RegistryEntry, command: list[str], state: str) -> dict[str, object]:
    return {
        "schema_version": 1,
        "model": entry.name,
        "output_dir": str(entry.dataset_args["output_dir"]),
        "command": command,
        "state": state,
    }
