"""Read a row of a dataset as a batch of one, and decode the answer to a row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.arc.encoding import Grid
from trm_cli.data.arc.identifiers import IDENTIFIERS_NAME
from trm_cli.data.files.json_file import read_json
from trm_cli.data.puzzles.dataset import Batch
from trm_cli.data.stream.dataset import StreamDataset
from trm_cli.data.stream.records import GRID, TEXT
from trm_cli.data.stream.rows import render_text, text_row
from trm_cli.data.stream.shape import StreamShape
from trm_cli.data.stream.vocabulary import EOS, FIRST_BYTE, FIRST_COLOUR, FIRST_CONTROL, FIRST_LABEL, IGNORED
from trm_cli.data.text.codec import ByteCodec
from trm_cli.data.text.labels import TextLabels
from trm_cli.errors import DatasetError, UsageError
from trm_cli.evaluation.samples.text_generation import TextRequest, write
from trm_cli.models.capsule_network import CapsuleNetwork
from trm_cli.models.layers.sampling import Sampling

DecodedAnswer = NDArray[np.uint8] | str


def dataset_row(data: StreamDataset, number: int) -> Batch:
    """Read row `number` (from 0) of a split as a batch of one. Raises UsageError beyond the last one."""
    if number >= data.eval_rows:
        raise UsageError(f"there is no row {number:,}: the {data.split} split has {data.eval_rows:,}, counted from 0")
    row = data.eval_batch(number, 1)
    return {name: value for name, value in row.items() if name != "valid"}


def continued_row(network: CapsuleNetwork, text: str, shape: StreamShape) -> Batch:
    """A row that shows a text and the model's own continuation of it, in which it is asked for what it wrote."""
    codec = ByteCodec(TextLabels(FIRST_BYTE, FIRST_CONTROL, True))
    prompt = codec.encode(text)[-shape.text_window // 2 :]
    request = TextRequest(prompt, shape.text_window - len(prompt) - 1, Sampling(), seed=0)
    written = [token for token in write(network, codec.labels, request, window=shape.text_window) if token != EOS]
    row = text_row(shape, bytes(token - FIRST_BYTE for token in (*prompt, *written)))
    row["target"][0, len(prompt) : len(prompt) + len(written)] = written
    return row


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
    """Decode an answer [S] to a grid, to a text (as long as what is asked, up to its end mark), or to a class name."""
    kind = int(row["kind"][0])
    if kind == GRID:
        return decode_grid(answer, math.isqrt(row["cells"].shape[1]))
    if kind != TEXT:
        label = int(answer[0]) - FIRST_LABEL
        return classes[label] if 0 <= label < len(classes) else f"class {label}"
    asked = row["target"][0] != IGNORED
    tokens = np.asarray(answer, dtype=np.int32)
    tokens = tokens[asked] if asked.any() else tokens[: row["text"].shape[1]]
    ends = np.flatnonzero(tokens == EOS)
    tokens = tokens[: ends[0]] if len(ends) else tokens
    return render_text(tokens).decode("utf-8", "replace")


def decode_grid(answer: NDArray[np.integer], side: int) -> Grid:
    """The grid [h, w] that an answer [S] says, colours 0..9: from the top left to its first end mark each way.

    What is no colour within it counts as colour 0; an answer without a colour at the top left is one black cell.
    """
    cells = np.asarray(answer)[: side * side].reshape(side, side)
    colours = (cells >= FIRST_COLOUR) & (cells < FIRST_BYTE)
    height, width = _run(colours[:, 0]), _run(colours[0])
    if not height or not width:
        return np.zeros((1, 1), np.uint8)
    inside = cells[:height, :width].astype(np.int64) - FIRST_COLOUR
    return np.where(colours[:height, :width], inside, 0).astype(np.uint8)


def _run(values: NDArray[np.bool_]) -> int:
    """How many of the first values are true."""
    return int(np.argmin(values)) if not values.all() else len(values)


def decode_target(row: Batch, classes: Sequence[str] = ()) -> DecodedAnswer | None:
    """Decode the right answer of a row; None where it is unknown."""
    if (row["target"][0] == IGNORED).all():
        return None
    return decode_answer(np.asarray(row["target"][0]).astype(np.int64), row, classes)


def require_stream(data: object) -> StreamDataset:
    """Check that a dataset is a stream. Raises DatasetError for another kind."""
    if not isinstance(data, StreamDataset):
        raise DatasetError("the dataset of this run is not a stream")
    return data
