"""Read the rows of a CSV file as other programs write it: usual separators and encodings, Excel's `sep=;`, comments."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from trm_cli.data.files.file_format import SIGNATURE_BYTES, expect_no_nul, expect_text, to_utf8
from trm_cli.data.files.regular_file import open_regular
from trm_cli.errors import DatasetError
from trm_cli.text_encoding import encoding_of

_SEPARATORS = ",;\t|"
#: Characters of a field: a document may be one.
_MOST_CHARACTERS = 1 << 30
#: The first line by which Excel names the separator.
_NAMED = re.compile(r"sep=(.)\s*", re.IGNORECASE)


def table_rows(path: Path, *, trimmed: bool = True) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, fields) of every row that is neither blank nor, where fields are trimmed, a comment (`#`).

    Raises DatasetError for a file that is no table of text.
    """
    try:
        with open_regular(path) as file:
            start = file.read(SIGNATURE_BYTES)
        expect_text(path, start)
        encoding = encoding_of(start)
        csv.field_size_limit(_MOST_CHARACTERS)
        if encoding == "utf-8":
            expect_no_nul(path, start)
        with path.open(newline="", encoding=encoding) as stream:
            separator, head = _separator(stream, trimmed=trimmed)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=separator, skipinitialspace=trimmed)
            for row in reader:
                fields = [field.strip() for field in row] if trimmed else row
                comment = trimmed and row[:1] and fields[0].startswith("#")
                if reader.line_num > head and not comment and any(map(str.strip, row)):
                    yield reader.line_num, fields
    except UnicodeError as error:
        raise DatasetError(f"{path} is not {encoding.upper()} text", hint=to_utf8(path)) from error
    except csv.Error as error:
        raise DatasetError(f"{path} is not a CSV file: {error}") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error


def _separator(stream: TextIO, *, trimmed: bool) -> tuple[str, int]:
    """The separator of a table (spaces where there is no other), and the number of the line that names it or 0."""
    for number, line in enumerate(stream, start=1):
        if not line.strip() or (trimmed and line.lstrip().startswith("#")):
            continue
        named = _NAMED.fullmatch(line.strip(" \r\n"))
        if named:
            return named[1], number
        separator = max(_SEPARATORS, key=line.count)
        return (separator if separator in line or not trimmed else " "), 0
    return _SEPARATORS[0], 0
