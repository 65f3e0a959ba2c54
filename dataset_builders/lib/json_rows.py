"""Read the rows of a table from JSON: an array of records, or JSON lines of a record each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trm_cli.data.files.file_format import SIGNATURE_BYTES, expect_text, to_utf8
from trm_cli.data.files.json_file import parse_json
from trm_cli.data.files.regular_file import open_regular
from trm_cli.errors import DatasetError
from trm_cli.text_encoding import decode

JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")


def json_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (number, fields): the keys of the first record, then the values of every record by these keys.

    The number is that of the line, in an array that of the record. A board may be a text or a list of its cells or
    rows. Raises DatasetError for what is no record, and one without a key of the first.
    """
    keys: list[str] | None = None
    for number, record in _records(path):
        if not isinstance(record, dict):
            found = type(record).__name__
            raise DatasetError(f"{path}:{number}: expected a record (an object), found {found}")
        if keys is None:
            keys = list(record)
            yield number, keys
        if missing := [key for key in keys if key not in record]:
            raise DatasetError(f"{path}:{number}: the record has no {missing[0]!r}, the first one has")
        yield number, [_as_text(record[key]) for key in keys]


def _records(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        with open_regular(path) as file:
            content = file.read()
        expect_text(path, content[:SIGNATURE_BYTES])
        text = decode(content)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text", hint=to_utf8(path)) from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
    if text.lstrip().startswith("["):
        yield from enumerate(parse_json(text, str(path)), start=1)
        return
    for number, line in enumerate(re.split("\r\n|\n|\r", text), start=1):
        if line.strip():
            yield number, parse_json(line, str(path), line=number, hint="JSON lines hold a whole record a line")


def _as_text(value: Any) -> str:
    """A board as its cells; None, as other programs write a missing value, as nothing."""
    if isinstance(value, list):
        return "".join(map(_as_text, value))
    return "" if value is None else str(value)
