"""Read JSON files; invalid JSON becomes one error that names the place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trm_cli.data.files.file_format import SIGNATURE_BYTES, expect_text
from trm_cli.data.files.regular_file import open_regular
from trm_cli.errors import DatasetError, TrmError
from trm_cli.text_encoding import decode


def read_json(path: str | Path, *, error: type[TrmError] = DatasetError, hint: str | None = None) -> Any:
    """Return the document in a file. Raises `error` with `hint`, naming the file, where it is missing or incomplete."""
    try:
        with open_regular(path) as file:
            content = file.read()
        if not content[:1].isascii() or content[:1] not in b"{[":
            expect_text(Path(path), content[:SIGNATURE_BYTES])
        text = decode(content)
    except FileNotFoundError as reason:
        raise error(f"{path} is missing", hint=hint) from reason
    except OSError as reason:
        raise error(f"{path} cannot be read: {reason.strerror}", hint=hint) from reason
    except UnicodeDecodeError as reason:
        raise error(f"{path} is damaged: not UTF-8 text (byte {reason.start})", hint=hint) from reason
    return parse_json(text, str(path), error=error, hint=hint)


def parse_json(
    text: str | bytes,
    where: str,
    *,
    error: type[TrmError] = DatasetError,
    hint: str | None = None,
    line: int | None = None,
) -> Any:
    """The document in `text`. Raises `error` with `hint`, naming `where` and the place in it.

    line: the number of the line that the text is, where it is one line of a file. Refused as well: what is nested too
    deeply for the parser, numbers of more digits than Python reads, and repeated keys in one object.
    """
    try:
        if isinstance(text, str) and not text.startswith("\ufeff"):  # which `loads` refuses
            return _DECODER.decode(text)
        return json.loads(text, object_pairs_hook=_without_repeats)
    except json.JSONDecodeError as reason:
        place = f"{where}:{line or reason.lineno}:{reason.colno}"
        raise error(f"{place}: damaged JSON: {reason.msg}", hint=hint) from reason
    except RecursionError as reason:
        problem = "nested too deeply"
        cause: Exception = reason
    except UnicodeDecodeError as reason:
        problem, cause = f"not UTF-8 text (byte {reason.start})", reason
    except _RepeatedKey as reason:
        problem, cause = f"the key {reason.args[0]!r} stands twice in one object", reason
    except ValueError as reason:  # Python reads integers of up to 4,300 digits
        problem, cause = "a number has too many digits", reason
    place = where if line is None else f"{where}:{line}"
    raise error(f"{place}: damaged JSON: {problem}", hint=hint) from cause


class _RepeatedKey(ValueError):
    """A key stands twice in one object; its argument is the key."""


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _RepeatedKey(next(key for key in keys if keys.count(key) > 1))
    return document


# Kept, as `json.loads` keeps its own: making one takes longer than reading a line of JSON lines.
_DECODER = json.JSONDecoder(object_pairs_hook=_without_repeats)
