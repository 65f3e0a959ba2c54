"""`trm build-dataset`: turn `dataset_args` into flags and run the builder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from trm_cli.commands.arguments import Words

if TYPE_CHECKING:
    from trm_cli.config.registry import RegistryEntry
    from trm_cli.schedule.plan import DatasetFacts


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("build-dataset")(build_dataset)


def build_dataset(
    words: Words = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Build again from the start.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the command line only.")] = False,
) -> None:
    """Build the dataset of a model; an interrupted build continues.

    [dim]Example: trm build-dataset sudoku-4x4[/dim]
    """
    from trm_cli.commands.arguments import compose_words
    from trm_cli.errors import UsageError

    resolved = compose_words(words)
    if resolved.registry is None:
        raise UsageError("no model is named, so there is nothing to build")
    build(resolved.registry, rebuild=rebuild, dry_run=dry_run)


def build(entry: RegistryEntry, *, rebuild: bool = False, dry_run: bool = False) -> None:
    """Run the builder of a model with a progress bar."""
    from trm_cli.config.dataset_args import builder_flags
    from trm_cli.console.build_progress import BuildView
    from trm_cli.console.output import note
    from trm_cli.data.build import builder_command, run_builder, shown_command

    flags = builder_flags(entry.dataset_args)
    command = builder_command(entry.dataset_builder, [*flags, "--rebuild"] if rebuild else flags)
    note(f"Command: {shown_command(command)}")
    if dry_run:
        return
    with BuildView() as view:
        run_builder(command, progress=view.progressed, tell=note)


def planned_facts(entry: RegistryEntry) -> DatasetFacts:
    """What the builder would build, counted by itself."""
    from trm_cli.config.dataset_args import builder_flags
    from trm_cli.data.build import builder_command, plan_of_builder
    from trm_cli.schedule.plan import DatasetFacts

    plan = plan_of_builder(builder_command(entry.dataset_builder, builder_flags(entry.dataset_args)))
    train = plan["train"]
    return DatasetFacts(train["total_groups"], train["mean_puzzle_examples"], f"{entry.dataset_builder} --plan")
