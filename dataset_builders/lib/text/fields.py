"""Find which field of a record, or column of a table, holds its text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from trm_cli.errors import DatasetError

#: Known names, the likeliest first; compared without case.
TEXT_FIELDS = ("text", "story", "content", "code", "body")
#: Of tables: a column `code` is rather that of a country.
TABLE_FIELDS = tuple(name for name in TEXT_FIELDS if name != "code")


class TextDocument(NamedTuple):
    """One text and where it was found, for messages."""

    where: str
    text: str


def named_field(names: Iterable[str], field: str | None, known: Iterable[str] = TEXT_FIELDS) -> str | None:
    """Return which of the names is the field asked for, or without one a known name; None where there is none."""
    there = list(names)
    if field is not None:
        return field if field in there else None
    lower = {name.casefold(): name for name in reversed(there)}
    return next((lower[name] for name in known if name in lower), None)


def find_field(names: Iterable[str], where: str, field: str | None = None) -> str:
    """Return which of a record's fields holds the text. Raises DatasetError."""
    there = list(names)
    name = named_field(there, field)
    if name is None:
        hint = "name it: --text-field NAME" if field is None else ""
        raise DatasetError(f"{where}: {_missing(there, field)}", hint=hint)
    return name


def document_of(record: object, where: str, field: str | None) -> TextDocument:
    """Return the text of a JSON value: itself, or that of one of its fields. Raises DatasetError."""
    if isinstance(record, str):
        return TextDocument(where, record)
    if not isinstance(record, dict):
        raise DatasetError(f"{where}: expected an object or a string, found {type(record).__name__}")
    name = named_field(record, field)
    if name is None or not isinstance(record[name], str):
        problem = _missing(record, field) if name is None else f"the field {name!r} holds no text"
        raise DatasetError(f"{where}: {problem}", hint=_advice(record))
    return TextDocument(where, record[name])


def _missing(names: Iterable[str], field: str | None) -> str:
    listed = ", ".join(names) or "(none)"
    if field is not None:
        return f"has no field {field!r}: it has {listed}"
    return f"none of the fields {listed} is known to hold the text"


def _advice(record: Mapping[str, object]) -> str:
    texts = {name: value for name, value in record.items() if isinstance(value, str)}
    if texts:
        return f"name it: `--text-field {max(texts, key=lambda name: len(texts[name]))}`"
    return 'write each record as one text: {"text": "..."}; conversations are not read turn by turn'
