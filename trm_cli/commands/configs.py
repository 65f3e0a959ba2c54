"""`trm configs`: what there is, what a model resolves to, and whether it is right."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from trm_cli.commands.arguments import Architecture, Json, Words

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME|PATH]...", help="Models, architectures or YAML files; all of them when none is named."
    ),
]

configs = typer.Typer(no_args_is_help=True, help="The models that can be trained, and their resolved configurations.")


def register(app: typer.Typer) -> None:
    """Add the command group."""
    app.add_typer(configs, name="configs")


@configs.command("list")
def list_configs(json: Json = False) -> None:
    """List the models and architectures that can be named.

    [dim]Example: trm configs list[/dim]
    """
    from trm_cli.config.catalogue import architectures, models
    from trm_cli.console.output import print_json, stdout

    if json:
        print_json({
            "schema_version": 1,
            "models": [vars(model) for model in models()],
            "architectures": [vars(architecture) for architecture in architectures()],
        })  # fmt: skip
        return
    from trm_cli.console.views.configs import architecture_table, model_table

    stdout().print(model_table([(each.name, each.architecture, each.title) for each in models()]))
    stdout().print()
    stdout().print(architecture_table([(each.name, each.family, each.summary) for each in architectures()]))


@configs.command("show")
def show(words: Words = None, arch: Architecture = None, json: Json = False) -> None:
    """Print the resolved configuration of a model, with the source of each value.

    [dim]Example: trm configs show sudoku-4x4 epochs=10 arch.hidden_size=128[/dim]
    """
    from trm_cli.commands.arguments import compose_words
    from trm_cli.config.dump import describe_command, flat_values
    from trm_cli.console.output import print_json, stdout

    resolved = compose_words(words, arch=arch)
    values = flat_values(resolved.config)
    entry = resolved.registry
    if json:
        document: dict[str, Any] = {
            "schema_version": 1,
            "model": resolved.config.model,
            "dataset": None if entry is None else {"builder": entry.dataset_builder, "args": entry.dataset_args},
            "config": resolved.config.model_dump(mode="json"),
            "sources": {key: resolved.sources.get(key, "default") for key in values},
        }
        print_json(document)
        return
    from trm_cli.config.dataset_args import builder_flags
    from trm_cli.console.views.configs import config_table, model_facts

    rows = {"model": resolved.config.model}
    if entry is not None:
        flags = " ".join(builder_flags(entry.dataset_args))
        rows |= {"title": entry.title, "dataset": f"{entry.dataset_builder} {flags}"}
    rows["command"] = describe_command(resolved).removeprefix("Command: ")
    stdout().print(model_facts(rows))
    stdout().print()
    stdout().print(config_table(values, resolved.sources))


@configs.command("validate")
def validate(names: Names = None, json: Json = False) -> None:
    """Check models, architectures or files, and name every problem.

    [dim]Example: trm configs validate my_model.yaml[/dim]
    """
    from trm_cli.config.catalogue import check_all
    from trm_cli.console.output import print_json, stdout
    from trm_cli.errors import ConfigError

    checked, problems = check_all(names or [])
    if json:
        print_json({"schema_version": 1, "checked": checked, "problems": [vars(problem) for problem in problems]})
        raise typer.Exit(ConfigError.exit_code if problems else 0)
    if problems:
        raise ConfigError(problems)
    from trm_cli.console.tables import counted

    stdout().print(f"{counted(len(checked), 'configuration')} checked, no problem: {', '.join(checked)}", markup=False)
