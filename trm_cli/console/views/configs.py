"""Show a resolved configuration, the models and architectures, and the configuration keys as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trm_cli.config.dataset_args import builder_flags
from trm_cli.config.dump import describe_command, flat_values
from trm_cli.config.sources.scalars import as_yaml
from trm_cli.console.tables import facts, place, table

if TYPE_CHECKING:
    from trm_cli.config.catalogue import ArchitectureLine, ModelLine
    from trm_cli.config.compose import Resolved
    from trm_cli.config.reference import KeyFacts


def config_screen(resolved: Resolved) -> RenderableType:
    """Show a model, then each key with its value and source."""
    rows = {"model": resolved.config.model}
    if resolved.registry is not None:
        flags = " ".join(builder_flags(resolved.registry.dataset_args))
        rows |= {"title": resolved.registry.title, "dataset": f"{resolved.registry.dataset_builder} {flags}"}
    rows["command"] = describe_command(resolved).removeprefix("Command: ")
    return Group(facts(rows.items()), Text(), _config_table(flat_values(resolved.config), resolved.sources))


def config_document(resolved: Resolved) -> dict[str, Any]:
    """Describe the same as plain data."""
    entry = resolved.registry
    return {
        "model": resolved.config.model,
        "dataset": None if entry is None else {"builder": entry.dataset_builder, "args": entry.dataset_args},
        "config": resolved.config.model_dump(mode="json"),
        "sources": {key: resolved.sources.get(key, "default") for key in flat_values(resolved.config)},
    }


def catalogue_tables(models: Sequence[ModelLine], architectures: Sequence[ArchitectureLine]) -> RenderableType:
    """Show one line for each model and each architecture."""
    upper = [(model.name, model.architecture, model.title) for model in models]
    lower = [(one.name, one.family, one.summary) for one in architectures]
    return Group(
        table("model", "architecture", "what it is", rows=upper),
        Text(),
        table("architecture", "family", "what it is", rows=lower),
    )


def catalogue_document(models: Sequence[ModelLine], architectures: Sequence[ArchitectureLine]) -> dict[str, Any]:
    """Describe the same as plain data."""
    return {"models": [vars(one) for one in models], "architectures": [vars(one) for one in architectures]}


def _config_table(values: Mapping[str, Any], sources: Mapping[str, str]) -> Table:
    """Make a table of keys, values and sources; defaults of the schema are dimmed."""
    made = table("key", "value", "source, below configs/")
    made.columns[0].no_wrap = made.columns[2].no_wrap = True
    for key, value in values.items():
        source = sources.get(key, "default")
        style = "dim" if source == "default" else "bold" if source.startswith("override") else ""
        made.add_row(Text(key, style), Text(as_yaml(value), style), Text(_short(source), "dim"))
    return made


def _short(source: str) -> str:
    """Shorten configs/arch/trm.yaml:6 to arch/trm.yaml:6, to fit eighty columns."""
    _, found, below = source.replace("\\", "/").rpartition("configs/")
    return below if found else place(source)


def key_table(keys: Sequence[KeyFacts]) -> Table:
    """Show one line for each key; on resume a change is free, needs --replan, or makes another run (fatal)."""
    made = table("key", "default", "resume", "meaning, what it expects")
    made.columns[0].no_wrap = made.columns[2].no_wrap = True
    made.columns[1].max_width = 14
    for one in keys:
        meaning = Text.assemble(one.meaning + _families(one), ("\n" + one.expects, "dim"))
        made.add_row(one.key, as_yaml(one.default), one.resume, meaning)
    return made


def _families(one: KeyFacts) -> str:
    return f" ({', '.join(one.families)})" if one.families else ""


def key_page(keys: Sequence[KeyFacts]) -> str:
    """Format the keys as a page of documentation."""
    lines = [
        "# Keys\n\nPrinted by `trm configs keys --markdown`; how values are found and written is in",
        "[configuration.md](configuration.md). **Resume**: a change is `free`, needs `--replan` (`replan`), or makes",
        "another run (`fatal`).\n\n| key | default | expects | unit | resume | meaning |\n|---|---|---|---|---|---|",
    ]
    for one in keys:
        key, default = f"`{one.key}`{_families(one)}", f"`{as_yaml(one.default)}`"
        cells = (key, default, one.expects, one.unit, one.resume, one.meaning)
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"
