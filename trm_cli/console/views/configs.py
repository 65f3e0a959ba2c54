"""A resolved configuration, and the registry of models, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from trm_cli.console.tables import facts, table


def spelt(value: Any) -> str:
    """A value as it would be written in YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(spelt(item) for item in value)}]"
    return str(value)


def config_table(values: Mapping[str, Any], sources: Mapping[str, str]) -> Table:
    """Key, value and the source of each; what only the schema says is dimmed."""
    made = table("key", "value", "source, below configs/")
    made.columns[0].no_wrap = made.columns[2].no_wrap = True
    for key, value in values.items():
        source = sources.get(key, "default")
        style = "dim" if source == "default" else "bold" if source.startswith("override") else ""
        made.add_row(Text(key, style), Text(spelt(value), style), Text(_short(source), "dim"))
    return made


def _short(source: str) -> str:
    """configs/arch/trm.yaml:6 -> arch/trm.yaml:6: eighty columns have room for no more."""
    _, found, below = source.replace("\\", "/").rpartition("configs/")
    return below if found else source


def model_facts(rows: Mapping[str, str]) -> Table:
    """What a model is, above its configuration."""
    made = facts()
    for name, text in rows.items():
        made.add_row(name, Text(text))
    return made


def model_table(rows: Sequence[Sequence[str]]) -> RenderableType:
    """The registry: one line a model."""
    made = table("model", "architecture", "what it is")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made


def architecture_table(rows: Sequence[Sequence[str]]) -> RenderableType:
    """The architectures: one line each."""
    made = table("architecture", "family", "what it is")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    return made
