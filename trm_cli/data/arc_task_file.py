"""One ARC task as JSON, as a person brings it: {"train": [{"input", "output"}, ...], "test": [...]}."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import UsageError

Grid = NDArray[np.uint8]
MAX_SIDE = 30


@dataclass(frozen=True)
class ArcPair:
    """Colours 0..9, [h, w] each; output is None where the answer is not given."""

    input: Grid
    output: Grid | None


@dataclass(frozen=True)
class ArcTask:
    """Demonstrations and what is asked."""

    name: str
    train: tuple[ArcPair, ...]
    test: tuple[ArcPair, ...]


def looks_like_task(text: str) -> bool:
    """Whether a text is meant to be a task: it begins as a JSON object does."""
    return text.lstrip().startswith("{")


def parse_arc_task(text: str, name: str) -> ArcTask:
    """Read a task; `name` (of a file, without its ending) is the task's. Raises UsageError that says what is wrong."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{name}: damaged JSON at line {error.lineno}: {error.msg}") from error
    if not isinstance(document, dict) or not isinstance(document.get("test"), list) or not document["test"]:
        raise UsageError(f'{name} is no ARC task: it has no list "test" of pairs')
    pairs = {}
    for part in ("train", "test"):
        found = document.get(part, [])
        if not isinstance(found, list):
            raise UsageError(f'{name}: "{part}" is no list of pairs')
        pairs[part] = tuple(_pair(pair, f"{name}, {part} {number}") for number, pair in enumerate(found))
    return ArcTask(name, pairs["train"], pairs["test"])


def read_arc_task(path: Path) -> ArcTask:
    """Read a task file. Raises UsageError."""
    try:
        return parse_arc_task(path.read_text(encoding="utf-8"), path.stem)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as text: {error}") from error


def _pair(pair: object, where: str) -> ArcPair:
    if not isinstance(pair, dict) or "input" not in pair:
        raise UsageError(f'{where}: expected {{"input": rows, "output": rows}}')
    output = pair.get("output")
    return ArcPair(
        _grid(pair["input"], f"{where}, input"), None if output is None else _grid(output, f"{where}, output")
    )


def _grid(rows: object, where: str) -> Grid:
    if (
        not isinstance(rows, list)
        or not 1 <= len(rows) <= MAX_SIDE
        or not all(isinstance(row, list) and len(row) == len(rows[0]) for row in rows)
        or not 1 <= len(rows[0]) <= MAX_SIDE
        or not all(type(cell) is int and 0 <= cell <= 9 for row in rows for cell in row)
    ):
        raise UsageError(f"{where}: a grid is 1 to 30 rows of 1 to 30 colours from 0 to 9, all rows as long")
    return np.array(rows, dtype=np.uint8)
