"""Show a resolved configuration, the models and architectures, and the configuration keys as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from trm_cli.config.dataset_args import builder_flags
from trm_cli.config.dump import describe_command, flat_values
from trm_cli.config.sources.scalars import as_yaml
from trm_cli.console.tables import GAP, facts, place, table, width_of

if TYPE_CHECKING:
    from trm_cli.config.catalogue import ArchitectureLine, ModelLine
    from trm_cli.config.compose import Resolved
    from trm_cli.config.reference import KeyFacts

_HEADERS = ("key", "value", "source, below configs/")
_VALUE_COLUMNS = 8  # fewer are not worth a column of sources: most values would have theirs on the next line


def config_screen(resolved: Resolved) -> RenderableType:
    """Show a model, then each key with its value and source."""
    rows = {"model": resolved.config.model}
    if resolved.registry is not None:
        flags = " ".join(builder_flags(resolved.registry.dataset_args))
        rows |= {"title": resolved.registry.title, "dataset": f"{resolved.registry.dataset_builder} {flags}"}
    rows["command"] = describe_command(resolved).removeprefix("Command: ")
    return Group(facts(rows.items()), Text(), ConfigTable(flat_values(resolved.config), resolved.sources))


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


@dataclass(frozen=True)
class ConfigTable:
    """Keys, values and sources in the width that is given; defaults of the schema are dimmed."""

    values: Mapping[str, Any]
    sources: Mapping[str, str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = [self._row(key, value) for key, value in self.values.items()]
        if width_of([_HEADERS, *([cell.plain for cell in row] for row in rows)]) <= options.max_width:
            yield table(*_HEADERS, rows=rows)
        else:
            headers = tuple(Text(header, "bold") for header in _HEADERS)
            yield from _narrow_rows([headers, *rows], console, options.max_width)

    def _row(self, key: str, value: Any) -> tuple[Text, ...]:
        source = self.sources.get(key, "default")
        style = "dim" if source == "default" else "bold" if source.startswith("override") else ""
        return Text(key, style), Text(as_yaml(value), style), Text(_short(source), "dim")


def _narrow_rows(rows: Sequence[Sequence[Text]], console: Console, width: int) -> Iterator[Text]:
    """Show values whole: where there is no space for a source beside its value, it stands on the next line."""
    value_at = max(key.cell_len for key, _, _ in rows) + GAP
    source_at = width - max(source.cell_len for _, _, source in rows)
    beside = source_at - value_at - GAP  # columns for a value that has its source beside it
    if beside < _VALUE_COLUMNS:
        beside, source_at = 0, GAP
    for key, value, source in rows:
        begin = min(value_at, max(key.cell_len + GAP, width - value.cell_len))
        first, *others = value.wrap(console, max(1, width - begin)) or [Text()]
        row = Text.assemble(key, " " * (begin - key.cell_len), first)
        for other in others:
            row.append_text(Text.assemble("\n", " " * begin, other))
        fits = not others and first.cell_len <= beside
        row.append(" " * (source_at - row.cell_len) if fits else "\n" + " " * source_at)
        yield row.append_text(source)


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
