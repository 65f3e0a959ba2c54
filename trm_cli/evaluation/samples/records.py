"""Read a row of a dataset as a batch of one, and decode the answer to a row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.arc.identifiers import IDENTIFIERS_NAME
from trm_cli.data.files.json_file import read_json
from trm_cli.data.files.metadata import IGNORED_LABEL
from trm_cli.data.puzzles.dataset import Batch
from trm_cli.data.stream.boards import answered_grid
from trm_cli.data.stream.dataset import StreamDataset
from trm_cli.data.stream.records import GRID, TEXT
from trm_cli.data.stream.vocabulary import FIRST_LABEL
from trm_cli.errors import DatasetError, UsageError
from trm_cli.evaluation.samples.written_text import MarkedText, marked

DecodedAnswer = NDArray[np.uint8] | MarkedText


def dataset_row(data: StreamDataset, number: int) -> Batch:
    """Read row `number` (from 0) of a split as a batch of one. Raises UsageError beyond the last one."""
    if number >= data.eval_rows:
        raise UsageError(f"there is no row {number:,}: the {data.split} split has {data.eval_rows:,}, counted from 0")
    row = data.eval_batch(number, 1)
    return {name: value for name, value in row.items() if name != "valid"}


def identifier_of(task: str, data_paths: Sequence[str]) -> int:
    """Find the puzzle identifier of a task in the datasets of a run; 0 where they have no such task."""
    for path in data_paths:
        try:
            names = read_json(Path(path) / IDENTIFIERS_NAME)
        except DatasetError:
            continue
        if isinstance(names, list) and task in names:
            return names.index(task)
    return 0


def decode_answer(answer: NDArray[np.int64], row: Batch, classes: Sequence[str] = ()) -> DecodedAnswer:
    """Decode an answer [S] to a grid, to the name of a class, or to a text as long as what is asked; in words what is
    wrong is marked. Each letter of a text was told with the right ones before it at hand."""
    kind, asked = int(row["kind"][0]), row["target"][0] != IGNORED_LABEL
    if kind == GRID:
        return answered_grid(answer, math.isqrt(row["cells"].shape[1]))
    if kind == TEXT:
        return marked(answer[asked].tolist(), row["target"][0][asked].tolist())
    label = int(answer[0]) - FIRST_LABEL
    name = classes[label] if 0 <= label < len(classes) else f"class {label}"
    return MarkedText(name, (bool(asked[0] and row["target"][0][0] != answer[0]),) * len(name))


def decode_target(row: Batch, classes: Sequence[str] = ()) -> DecodedAnswer | None:
    """Decode the right answer of a row; None where it is unknown."""
    if (row["target"][0] == IGNORED_LABEL).all():
        return None
    return decode_answer(np.asarray(row["target"][0]).astype(np.int64), row, classes)


def require_stream(data: object) -> StreamDataset:
    """Check that a dataset is a stream. Raises DatasetError for another kind."""
    if not isinstance(data, StreamDataset):
        raise DatasetError("the dataset of this run is not a stream")
    return data
