"""Write docs/keys.md, the table of every configuration key, from the schema: `python docs/make_reference.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trm_cli.config.schema import RunConfig
from trm_cli.keys import Section, expectation, resume_class, unit
from trm_cli.models.families import FAMILIES

TARGET = Path(__file__).with_name("keys.md")

_OPENING = """# Keys

Generated from the schema by `docs/make_reference.py`; a change by hand is lost. How values are found and written is in
[configuration.md](configuration.md).

**Resume** says what a change means for a run that is continued: `free` may change, `replan` needs `--replan`, `fatal`
is another run. Defaults are those of the schema; the files of `configs/` stand above them.
"""
_HEADER = ("| key | default | expects | unit | resume | meaning |", "|---|---|---|---|---|---|")
_PUZZLE_FAMILIES = ("trm", "hrm", "transformer")


def render() -> str:
    """The whole page."""
    lines = [_OPENING, "## A run", "", *_HEADER, *_rows("", {name: {"": RunConfig} for name in _own(RunConfig)})]
    for title, families in (("Puzzle architectures", _PUZZLE_FAMILIES), ("Capsule architectures", _other_families())):
        known = ", ".join(f"`{family}`" for family in families)
        lines += ["", f"## {title}: {known}", ""]
        if len(families) > 1:
            lines += ["Where the families differ, the key stands once for each of them.", ""]
        owners: dict[str, dict[str, type[Section]]] = {}
        for family in families:
            for name in _own(FAMILIES[family]):
                owners.setdefault(name, {})[family] = FAMILIES[family]
        lines += [*_HEADER, *_rows("arch.", owners, everyone=len(families))]
    return "\n".join(lines) + "\n"


def _other_families() -> tuple[str, ...]:
    return tuple(family for family in FAMILIES if family not in _PUZZLE_FAMILIES)


def _own(section: type[Section]) -> list[str]:
    """The keys of a section that hold a value: the architecture of a run has tables of its own."""
    return [name for name, field in section.model_fields.items() if not field.is_required()]


def _rows(prefix: str, owners: dict[str, dict[str, type[Section]]], everyone: int = 1) -> Iterator[str]:
    """One row for each key; several where families declare it differently, with the family behind the key."""
    for name, sections in owners.items():
        variants: dict[tuple[str, ...], list[str]] = {}
        for family, section in sections.items():
            variants.setdefault(_cells(section, name), []).append(family)
        for cells, families in variants.items():
            whose = f" ({', '.join(families)})" if len(families) < everyone else ""
            yield f"| `{prefix}{name}`{whose} | {' | '.join(cells)} |"


def _cells(section: type[Section], name: str) -> tuple[str, ...]:
    field = section.model_fields[name]
    cells = (_written(field.default), expectation(field), unit(field), resume_class(field), field.description or "")
    return tuple(cell.replace("|", "\\|") for cell in cells)


def _written(value: Any) -> str:
    """A default as YAML writes it."""
    if value is None or isinstance(value, bool):
        text = {None: "null", True: "true", False: "false"}[value]
    elif isinstance(value, tuple):
        text = f"[{', '.join(map(str, value))}]"
    else:
        text = str(value) or '""'
    return f"`{text}`"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
