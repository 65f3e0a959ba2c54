"""Read `test_puzzles.json`: the test inputs of an ARC dataset, with their outputs where they are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trm_cli.data.arc.encoding import Grid
from trm_cli.data.files.json_file import read_json
from trm_cli.errors import REBUILD, DatasetError

TESTS_NAME = "test_puzzles.json"


@dataclass(frozen=True)
class ArcTest:
    """A task and its test pairs: input [H, W] and output [H', W'] in colours 0..9; an output may be unknown."""

    task: str
    pairs: tuple[tuple[Grid, Grid | None], ...]


def has_tests(root: str | Path) -> bool:
    """Return whether a dataset has `test_puzzles.json`."""
    return (Path(root) / TESTS_NAME).is_file()


def read_tests(root: str | Path) -> list[ArcTest]:
    """All tasks that have test inputs, in the order of the file. Raises DatasetError."""
    path = Path(root) / TESTS_NAME
    document = read_json(path, hint=REBUILD)
    try:
        return [ArcTest(str(task), tuple(_pair(pair) for pair in entry["test"])) for task, entry in document.items()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path} is damaged: {error}", hint=REBUILD) from error


def _pair(pair: dict[str, list[list[int]]]) -> tuple[Grid, Grid | None]:
    output = pair.get("output")
    return _grid(pair["input"]), None if output is None else _grid(output)


def _grid(rows: list[list[int]]) -> Grid:
    grid = np.array(rows, dtype=np.uint8)
    if grid.ndim != 2 or grid.size == 0 or grid.max() > 9:
        raise ValueError("a grid must be a rectangle of colours 0..9")
    return grid
