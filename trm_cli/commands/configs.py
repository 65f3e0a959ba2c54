"""`trm configs`: list models and architectures, show a resolved configuration, validate files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trm_cli.commands.options import completion
from trm_cli.commands.options.arguments import Architecture, Json, Words

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[NAME|PATH]...",
        help="Models, architectures or YAML files; all of them when none is named.",
        autocompletion=completion.models,
    ),
]

configs = typer.Typer(no_args_is_help=True, help="The models that can be trained, and their resolved configurations.")


@configs.command("list")
def list_configs(as_json: Json = False) -> None:
    """List the models and architectures that can be named.

    [dim]Example: trm configs list[/dim]
    """
    from trm_cli.config.catalogue import architectures, models
    from trm_cli.console.output import next_step, print_result
    from trm_cli.console.views.configs import catalogue_document, catalogue_tables

    known = models(), architectures()
    print_result(catalogue_document(*known), catalogue_tables(*known), as_json=as_json)
    if not as_json:
        next_step(("trm", "doctor"), ("trm", "train", "MODEL"))


@configs.command("show")
def show(words: Words = None, arch: Architecture = None, as_json: Json = False) -> None:
    """Print the resolved configuration of a model, with the source of each value.

    [dim]Example: trm configs show sudoku-4x4 epochs=10 arch.hidden_size=128[/dim]
    """
    from trm_cli.commands.options.arguments import compose_words
    from trm_cli.console.output import next_step, print_result
    from trm_cli.console.views.configs import config_document, config_screen

    resolved = compose_words(words, arch=arch)
    print_result(config_document(resolved), config_screen(resolved), as_json=as_json)
    if not as_json:
        model = resolved.config.model if resolved.registry is None else resolved.registry.word
        next_step(("trm", "train", model, *resolved.overrides))


@configs.command("validate")
def validate(names: Names = None, as_json: Json = False) -> None:
    """Check models, architectures or files, and name every problem.

    [dim]Example: trm configs validate my_model.yaml[/dim]
    """
    from trm_cli.config.catalogue import check_all
    from trm_cli.console.output import next_step, print_json, stdout
    from trm_cli.console.tables import counted
    from trm_cli.errors import ConfigError

    checked, problems = check_all(names or [])
    if as_json:
        print_json({"checked": checked, "problems": [vars(problem) for problem in problems]})
        raise typer.Exit(ConfigError.exit_code if problems else 0)
    if problems:
        raise ConfigError(problems)
    stdout().print(f"{counted(len(checked), 'configuration')} checked, no problem: {', '.join(checked)}")
    next_step(("trm", "train", names[0] if names else "MODEL"))


@configs.command("copy")
def copy(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model.", autocompletion=completion.models)],
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="The copy; default: MODEL.yaml here.")] = None,
) -> None:
    """Copy the file of a model, to be edited.

    [dim]Example: trm configs copy sudoku-4x4 mine.yaml[/dim]
    """
    from trm_cli.config import registry
    from trm_cli.config.json_schema import naming_schema
    from trm_cli.console.output import stdout, write_file
    from trm_cli.errors import ConfigError, UsageError
    from trm_cli.paths import exists
    from trm_cli.shell import command_line

    source = registry.find("models", model)
    if source is None:
        raise ConfigError([registry.not_found("models", model, "MODEL")])
    target = file or Path(source.name)
    if exists(target):
        raise UsageError(
            f"{target} exists already", hint=f"name another: {command_line('trm', 'configs', 'copy', model)} FILE"
        )
    write_file(target, naming_schema(source.read_bytes(), registry.SHIPPED / "schemas/model.json"))
    stdout().print(f"Next: edit {target}, then {command_line('trm', 'train', target)}", soft_wrap=True)


@configs.command("schema")
def schema(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="[KIND]", help="model, architecture or defaults.", autocompletion=completion.schema_kinds
        ),
    ] = "model",
) -> None:
    """Print the JSON Schema of model files (or of another kind), for editors that complete keys and mark mistakes.

    [dim]Example: trm configs schema architecture[/dim]
    """
    import json

    from trm_cli.config.json_schema import SCHEMAS
    from trm_cli.errors import UsageError

    if kind not in SCHEMAS:
        raise UsageError(f"there is no schema of `{kind}`", hint=f"expected one of {', '.join(SCHEMAS)}")
    typer.echo(json.dumps(SCHEMAS[kind](), indent=2))


@configs.command("keys")
def keys(
    word: Annotated[
        str | None, typer.Argument(metavar="[WORD]", help="Only the keys whose name or meaning has this word.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a page of documentation.")] = False,
    as_json: Json = False,
) -> None:
    """Print every configuration key with its default, what it expects, and what a change means on resume.

    [dim]Example: trm configs keys checkpoint[/dim]
    """
    from trm_cli.config.reference import every_key
    from trm_cli.console.output import next_step, print_result
    from trm_cli.console.views.configs import key_page, key_table

    found = [one for one in every_key() if word is None or word in one.key or word in one.meaning]
    if word is not None and not found:
        from trm_cli.config.registry import nearest
        from trm_cli.config.sources import other_names
        from trm_cli.errors import UsageError

        near = nearest(word, [one.key for one in every_key()])
        hint = other_names.hint_for(word) or (f"did you mean `{near}`?" if near else "`trm configs keys` lists all")
        raise UsageError(f"no key has the word {word!r} in its name or meaning", hint=hint)
    if markdown and not as_json:
        typer.echo(key_page(found), nl=False)
    else:
        print_result({"keys": [vars(one) for one in found]}, key_table(found), as_json=as_json)
        if not as_json:
            next_step(("trm", "configs", "show", "MODEL", "KEY=VALUE"))
