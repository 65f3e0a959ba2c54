"""Parse ARC task JSON and find the task of a dataset with the same demonstrations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.arc import encoding, layout
from trm_cli.data.arc.encoding import Grid
from trm_cli.data.arc.forms import task_records
from trm_cli.data.arc.identifiers import NO_TASK, ArcIdentifiers
from trm_cli.data.files.json_file import parse_json
from trm_cli.data.files.metadata import read_metadata
from trm_cli.data.files.puzzle_arrays import read_puzzle_arrays
from trm_cli.errors import UsageError

_PairKey = tuple[bytes, bytes]


@dataclass(frozen=True)
class ArcTask:
    """Demonstrations, and test inputs with their outputs where the file has them; grids [H, W] of colours 0..9."""

    demonstrations: tuple[tuple[Grid, Grid], ...]
    tests: tuple[tuple[Grid, Grid | None], ...]


def parse_arc_task(text: str, name: str | None = None) -> ArcTask:
    """Read {"train": [{"input", "output"}], "test": [{"input"}]}, or the task `name` of a file of many.

    Raises UsageError naming the place that is wrong.
    """
    hint = 'an ARC task looks like {"train": [...], "test": [{"input": [[0, 1]]}]}'
    document = parse_json(text, "the task", error=UsageError, hint=hint)
    records = task_records(document, name or "task")
    if name in records or len(records) == 1:
        document = records[name] if name in records else next(iter(records.values()))
    if not isinstance(document, dict) or not isinstance(document.get("test"), list) or not document["test"]:
        many = len(records) > 1
        hint = (
            "the file holds many tasks: name one with --task" if many else "it needs a list `test` of {input} records"
        )
        raise UsageError("this JSON is not an ARC task", hint=hint)
    shown = document.get("train", [])
    demonstrations = [
        (grid_in(pair, "input", f"train {i}"), grid_in(pair, "output", f"train {i}")) for i, pair in enumerate(shown, 1)
    ]
    tests = [
        (grid_in(pair, "input", f"test {i}"), grid_in(pair, "output", f"test {i}") if _has_output(pair) else None)
        for i, pair in enumerate(document["test"], 1)
    ]
    return ArcTask(tuple(demonstrations), tuple(tests))


def _has_output(pair: Any) -> bool:
    return isinstance(pair, dict) and pair.get("output") is not None


def grid_in(pair: Any, part: str, where: str, side: int = layout.SIDE) -> Grid:
    """Read the grid of one part of a pair, [H, W]. Raises UsageError where there is none that the canvas can hold."""
    rows = pair.get(part) if isinstance(pair, dict) else None
    right = (
        isinstance(rows, list)
        and 1 <= len(rows) <= side
        and all(isinstance(row, list) and 1 <= len(row) <= side and len(row) == len(rows[0]) for row in rows)
        and all(type(cell) is int and 0 <= cell < layout.COLOURS for row in rows for cell in row)
    )
    if not right:
        raise UsageError(f"{where}: `{part}` must be a rectangle of up to {side}x{side} colours 0 to 9")
    return np.array(rows, dtype=np.uint8)


def encode(grids: list[Grid], side: int = layout.SIDE) -> NDArray[np.uint8]:
    """Tokens [N, S] of grids at the top left of canvases of this side."""
    return encoding.encode_grids([(grid.shape[0], grid.shape[1], grid.tobytes()) for grid in grids], side)


def larger_than(task: ArcTask, side: int) -> str | None:
    """The size, as text, of the first grid of a task that does not fit into a canvas of this side."""
    grids = [grid for pair in (*task.demonstrations, *task.tests) for grid in pair if grid is not None]
    return next((f"{grid.shape[0]}x{grid.shape[1]}" for grid in grids if max(grid.shape) > side), None)


def find_task(task: ArcTask, root: str | Path, identifiers: ArcIdentifiers) -> str | None:
    """The name of the task in a dataset that has all these demonstrations; None where there is none."""
    if not task.demonstrations:
        return None
    metadata = read_metadata(root, "train")
    canvas = layout.side_of(metadata.seq_len)
    if larger_than(task, canvas):
        return None
    given = [encode([pair[side] for pair in task.demonstrations], canvas) for side in (0, 1)]
    wanted = set(_pairs(*given))
    for set_name in metadata.sets:
        arrays = read_puzzle_arrays(root, "train", set_name, metadata)
        owners = identifiers.owners[arrays.puzzle_identifiers]
        plain = (identifiers.codes[arrays.puzzle_identifiers] == 0) & (owners != NO_TASK)
        shown: dict[int, set[_PairKey]] = {}  # a task may be one puzzle, or each of its pairs
        for puzzle in np.flatnonzero(plain).tolist():
            rows = np.arange(arrays.puzzle_indices[puzzle], arrays.puzzle_indices[puzzle + 1])
            pairs = shown.setdefault(int(owners[puzzle]), set())
            pairs.update(set(_pairs(arrays.inputs[rows], arrays.labels[rows])) & wanted)
            if wanted <= pairs:
                return identifiers.tasks[int(owners[puzzle])]
    return None


def _pairs(inputs: NDArray[np.integer], labels: NDArray[np.integer]) -> list[_PairKey]:
    """Pairs of rows [N, S] as keys: their colours, both moved by as much as the input is away from the top left.

    End marks are left out: a grid that was shifted to the edge has none.
    """
    found = []
    square = (layout.side_of(inputs.shape[1]),) * 2
    for row in zip(inputs, labels, strict=True):
        given, wanted = (
            np.where(tokens == layout.EOS, layout.PAD, tokens).astype(np.uint8).reshape(square) for tokens in row
        )
        marked = given != layout.PAD
        shift = (-int(marked.any(1).argmax()), -int(marked.any(0).argmax()))
        found.append((np.roll(given, shift, (0, 1)).tobytes(), np.roll(wanted, shift, (0, 1)).tobytes()))
    return found
