"""Read rows of CSV files with a header, by the names of their columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from trm_cli.errors import DatasetError


def csv_rows(
    path: Path, required: Sequence[str], optional: Sequence[str] = (), *, hint: str
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, values) of every row that is not empty: the required columns, then the optional that exist.

    Raises DatasetError, with `hint` where a required column is missing.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.reader(stream)
            header = next(reader, [])
            missing = [name for name in required if name not in header]
            if missing:
                raise DatasetError(f"{path} has no column {', '.join(missing)}", hint=hint)
            places = [header.index(name) for name in (*required, *optional) if name in header]
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise DatasetError(f"{path}:{reader.line_num} has {len(row)} fields, the header {len(header)}")
                yield reader.line_num, [row[place] for place in places]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} is not a CSV file: {error}") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error
