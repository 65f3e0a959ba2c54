"""Represent ARC tasks and parse their JSON. Standard library alone.

Every mistake in a file is reported with the file and the record (task, pair, side, row) that holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from trm_cli.data.arc.layout import COLOURS, SIDE
from trm_cli.errors import DatasetError


class TaskGrid(NamedTuple):
    """One picture of an ARC pair: `height * width` colours 0..9, row by row."""

    height: int
    width: int
    cells: bytes


UNKNOWN = TaskGrid(0, 0, b"")


class Pair(NamedTuple):
    """Input and output grid of one example; a test whose answer is not published has an output without a cell."""

    input: TaskGrid
    output: TaskGrid

    @property
    def known(self) -> bool:
        """Return whether there is an output."""
        return bool(self.output.cells)


@dataclass(frozen=True)
class Task:
    """One ARC task as its file has it: demonstrations and tests. `where` names the file, for messages."""

    id: str
    subset: str
    demonstrations: tuple[Pair, ...]
    tests: tuple[Pair, ...]
    where: str

    @property
    def side(self) -> int:
        """The longest side of its grids."""
        return max(max(grid.height, grid.width) for pair in (*self.demonstrations, *self.tests) for grid in pair)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Demonstrations, then the tests whose outputs are known."""
        return self.demonstrations + tuple(pair for pair in self.tests if pair.known)


def parse_tasks(
    document: Mapping[str, object],
    subset: str,
    where: str,
    solutions: Mapping[str, object] | None,
    *,
    solutions_where: str = "",
) -> tuple[Task, ...]:
    """Turn `{id: {"train": [...], "test": [...]}}` into tasks, in order of id.

    The answer of a test is its own "output", else the matching entry of `solutions`; without either it is unknown.

    Raises:
        DatasetError: naming the file, the task, the pair and the row.
    """
    if not document:
        raise DatasetError(f"{where}: holds no task")
    return tuple(
        parse_task(task_id, document[task_id], subset, where, solutions, solutions_where)
        for task_id in sorted(document)
    )


def parse_task(
    task_id: str,
    record: object,
    subset: str,
    where: str,
    solutions: Mapping[str, object] | None = None,
    solutions_where: str = "",
) -> Task:
    """Turn `{"train": [...], "test": [...]}` into a task; the rest as `parse_tasks`."""
    here = f"{where}: task {task_id}"
    demonstrations = [
        Pair(
            _parse_grid(_field(pair, "input", name), f"{name}, input"),
            _parse_grid(_field(pair, "output", name), f"{name}, output"),
        )
        for name, pair in _records(record, "train", here)
    ]
    tests = []
    for index, (name, pair) in enumerate(_records(record, "test", here)):
        inputs = _parse_grid(_field(pair, "input", name), f"{name}, input")
        if isinstance(pair, dict) and pair.get("output") is not None:
            tests.append(Pair(inputs, _parse_grid(pair["output"], f"{name}, output")))
            continue
        if solutions is None:
            tests.append(Pair(inputs, UNKNOWN))
            continue
        answers = solutions.get(task_id)
        if not isinstance(answers, list) or index >= len(answers):
            raise DatasetError(f"{solutions_where}: task {task_id}: the solution of test pair {index + 1} is missing")
        tests.append(Pair(inputs, _parse_grid(answers[index], f"{solutions_where}: task {task_id}, test {index + 1}")))
    return Task(task_id, subset, tuple(demonstrations), tuple(tests), where)


def _records(record: object, part: str, here: str) -> list[tuple[str, object]]:
    pairs = _field(record, part, here)
    if not isinstance(pairs, list) or not pairs:
        raise DatasetError(f"{here}: {part!r} must be a list of at least one pair")
    return [(f"{here}, {part} pair {index + 1}", pair) for index, pair in enumerate(pairs)]


def _field(record: object, key: str, here: str) -> object:
    if not isinstance(record, dict):
        raise DatasetError(f"{here}: expected an object, found {type(record).__name__}")
    if key not in record:
        raise DatasetError(f"{here}: has no {key!r}")
    return record[key]


def _parse_grid(value: object, here: str) -> TaskGrid:
    if not isinstance(value, list) or not value or not isinstance(value[0], list) or not value[0]:
        raise DatasetError(f"{here}: expected a grid (a list of at least one row of at least one cell)")
    height, width = len(value), len(value[0])
    if height > SIDE or width > SIDE:
        raise DatasetError(f"{here}: the grid is {height}x{width}, the largest possible is {SIDE}x{SIDE}")
    rows = []
    for number, row in enumerate(value, start=1):
        if not isinstance(row, list):
            raise DatasetError(f"{here}, row {number}: expected a list of cells, found {type(row).__name__}")
        if len(row) != width:
            raise DatasetError(f"{here}: ragged rows: row {number} has {len(row)} cells, row 1 has {width}")
        for column, cell in enumerate(row, start=1):
            if type(cell) is not int or not 0 <= cell < COLOURS:
                raise DatasetError(f"{here}, row {number}, column {column}: the cell is {cell!r}, expected 0 to 9")
        rows.append(bytes(row))
    return TaskGrid(height, width, b"".join(rows))
