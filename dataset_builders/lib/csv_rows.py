"""Read tables of puzzles from CSV and JSON files, as people have them: other column names, separators, no header."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from math import isqrt
from pathlib import Path

from trm_cli.errors import DatasetError, UsageError
from trm_cli.shell import command_line

from .json_rows import JSON_SUFFIXES, json_rows
from .table_rows import table_rows

#: The columns of a puzzle, and other names under which they are published. Compared without case.
COLUMNS: Mapping[str, Sequence[str]] = {
    "question": ("quiz", "quizzes", "puzzle", "puzzles", "unsolved", "problem", "input", "board", "maze"),
    "answer": ("answers", "solution", "solutions", "solved", "output", "label"),
    "rating": ("ratings", "difficulty", "level"),
}
REQUIRED = ("question", "answer")
TABLE_SUFFIXES = (".csv", ".tsv", *JSON_SUFFIXES)
_LEAST_CELLS = 16  # of a puzzle in a file without a header
_AROUND_CELLS = str.maketrans("", "", "[](),'\"")  # of a board that was written as a list, or in more quotes
_NO_ANSWERS = "training needs the answers beside the puzzles; `trm solve RUN --all-solutions-of FILE` answers a list"


def add_columns_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--columns`, which `column_names` reads."""
    parser.add_argument(
        "--columns",
        nargs="+",
        default=[],
        metavar="NAME=COLUMN",
        help=f"the source's columns where they have other names: {', '.join(f'{name}=...' for name in COLUMNS)}",
    )


def column_names(words: Sequence[str]) -> dict[str, str]:
    """Read `--columns question=quiz answer=sol`: the file's name of each column. Raises UsageError."""
    named = {}
    for word in words:
        ours, equals, theirs = word.partition("=")
        if ours not in COLUMNS or not equals or not theirs:
            raise UsageError(f"--columns {word}: expected NAME=COLUMN, NAME one of {', '.join(COLUMNS)}")
        named[ours] = theirs
    return named


def csv_rows(
    path: Path, named: Mapping[str, str], *, spaces_are_cells: bool = False
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, values by our names) of every row that is not blank.

    named: the file's names of columns whose names are not known. spaces_are_cells: of a board, so that none is cut off.
    A file without a header is recognised by a first row with two boards. Raises DatasetError.
    """
    places: dict[str, int] | None = None
    width = 0
    is_json = path.suffix.lower() in JSON_SUFFIXES
    for line, row in json_rows(path) if is_json else table_rows(path, trimmed=not spaces_are_cells):
        if places is None:
            width, places = len(row), None if named else _boards(row)
            if places is None:
                places = find_columns(str(path), row, named)
                continue
        if len(row) != width:
            raise DatasetError(f"{path}:{line} has {len(row)} fields, the first row {width}")
        values = {name: row[place] for name, place in places.items()}
        yield (
            line,
            {
                name: _in_one_line(value, spaces_are_cells) if name in REQUIRED else value.strip()
                for name, value in values.items()
            },
        )
    if places is None:
        raise DatasetError(f"{path} is empty", hint="expected the columns question and answer")


def split_tables(folder: Path) -> dict[str, Path]:
    """The tables of both splits in a folder, train.csv and test.csv in any case; JSON will do. Raises DatasetError."""
    tables = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.suffix.lower() in TABLE_SUFFIXES}
    files = {}
    for split in ("train", "test"):
        names = [split + suffix for suffix in TABLE_SUFFIXES if split + suffix in tables]
        if names:
            files[split] = tables[names[0]]
    if len(files) == 2:
        return files
    there = ", ".join(path.name for path in tables.values()) or "no table"
    hint = "a directory needs train.csv and test.csv"
    if len(tables) == 1:
        [only] = tables.values()
        hint = f"{hint}; one table is divided: `{command_line('--source', only)}`"
    raise DatasetError(f"{folder} holds {there}", hint=hint)


def _in_one_line(value: str, spaces_are_cells: bool) -> str:
    """A board that fills several lines of a quoted field, has gaps between its rows, or is a list, as one line."""
    return "".join(value.splitlines() if spaces_are_cells else value.translate(_AROUND_CELLS).split())


def _boards(row: Sequence[str]) -> dict[str, int] | None:
    """The places of question and answer in a row of values; None where it is a header."""
    places = [index for index, value in enumerate(row) if _is_board(value)]
    return dict(zip(REQUIRED, places, strict=True)) if len(places) == 2 else None


def _is_board(value: str) -> bool:
    cells = len("".join(value.split()))
    return cells >= _LEAST_CELLS and isqrt(cells) ** 2 == cells


def find_columns(where: str, names: Sequence[str], named: Mapping[str, str]) -> dict[str, int]:
    """The places of our columns among the names of a table's. Raises DatasetError where a needed one is missing."""
    header = [name.strip().casefold() for name in names]
    places = {}
    for ours, others in COLUMNS.items():
        wanted = [named[ours].casefold()] if ours in named else [ours, *others]
        found = next((name for name in wanted if name in header), None)
        if found is not None:
            places[ours] = header.index(found)
    missing = [named.get(name, name) for name in dict.fromkeys((*REQUIRED, *named)) if name not in places]
    if missing:
        if len(names) == 1 and (_is_board(names[0]) or places):
            what = "a board" if _is_board(names[0]) else names[0].strip()
            raise DatasetError(f"{where} has one column, {what}: no answers", hint=_NO_ANSWERS)
        example = " ".join(f"{name}=NAME" for name in REQUIRED if name not in places)
        raise DatasetError(
            f"{where} has no column {', '.join(missing)}: it has {', '.join(map(str.strip, names))}",
            hint=f"name the columns: `--columns {example or 'rating=NAME'}`",
        )
    return places
