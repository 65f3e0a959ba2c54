"""Make a canvas of a dataset row, an ARC task or a text, and decode the answer given on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.arc.encoding import Grid
from trm_cli.data.arc.identifiers import IDENTIFIERS_NAME
from trm_cli.data.files.json_file import read_json
from trm_cli.data.puzzles.dataset import Batch
from trm_cli.data.stream.canvas_codes import TEXT_TARGET, CanvasSpec, render_target
from trm_cli.data.stream.canvas_rows import answered_grid, grid_row, text_row
from trm_cli.data.stream.dataset import StreamDataset
from trm_cli.data.stream.vocabulary import EOS, FIRST_BYTE, FIRST_CONTROL, IGNORED
from trm_cli.data.text.codec import ByteCodec
from trm_cli.data.text.labels import TextLabels
from trm_cli.errors import DatasetError, UsageError
from trm_cli.evaluation.samples.text_generation import TextRequest, write
from trm_cli.models.canvas_network import CanvasNetwork
from trm_cli.models.layers.sampling import Sampling

DecodedAnswer = NDArray[np.uint8] | str


def dataset_row(data: StreamDataset, number: int) -> Batch:
    """Read row `number` (from 0) of a split as a batch of one. Raises UsageError beyond the last one."""
    if number >= data.eval_rows:
        raise UsageError(f"there is no row {number:,}: the {data.split} split has {data.eval_rows:,}, counted from 0")
    row = data.eval_batch(number, 1)
    return {name: value for name, value in row.items() if name != "valid"}


def pair_row(given: Grid, wanted: Grid | None, canvas_size: int, length: int, identifier: int) -> Batch:
    """Draw a pair of a task on a canvas. Raises UsageError for a grid that is too large."""
    try:
        return grid_row(given, CanvasSpec(canvas_size), length, identifier=identifier, wanted=wanted)
    except ValueError as error:
        raise UsageError(str(error), hint="larger grids need a run with a larger arch.canvas_size") from error


def continued_row(network: CanvasNetwork, text: str, length: int) -> Batch:
    """Draw a text on a canvas, with the model's own continuation as the target."""
    codec = ByteCodec(TextLabels(FIRST_BYTE, FIRST_CONTROL, True))
    prompt = codec.encode(text)
    request = TextRequest(prompt, min(TEXT_TARGET, length), Sampling(), seed=0)
    written = [token for token in write(network, codec.labels, request, network.device) if token != EOS]
    shown = bytes(token - FIRST_BYTE for token in prompt)
    following = bytes(token - FIRST_BYTE for token in written)
    return text_row(shown, CanvasSpec(network.canvas_size), length, following)


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


def decode_answer(answer: NDArray[np.int64], row: Batch, canvas_size: int) -> DecodedAnswer:
    """Decode an answer [T] to a grid, or to a text up to its end mark (as long as the target where there is one)."""
    if int(row["target_kind"][0]) == 0:
        return decode_grid(answer, canvas_size)
    asked = row["target"][0] != IGNORED
    tokens = np.asarray(answer, dtype=np.int32)
    tokens = tokens[asked] if asked.any() else tokens
    ends = np.flatnonzero(tokens == EOS)
    return render_target(tokens[: ends[0]] if len(ends) else tokens).decode("utf-8", "replace")


def decode_grid(answer: NDArray[np.int64], canvas_size: int) -> Grid:
    """Decode an answer [T] to a grid."""
    return answered_grid(answer, CanvasSpec(canvas_size))


def decode_target(row: Batch, canvas_size: int) -> DecodedAnswer | None:
    """Decode the right answer of a row; None where it is unknown."""
    if (row["target"][0] == IGNORED).all():
        return None
    return decode_answer(np.asarray(row["target"][0]).astype(np.int64), row, canvas_size)


def require_stream(data: object) -> StreamDataset:
    """Check that a dataset is a stream of canvases. Raises DatasetError for another kind."""
    if not isinstance(data, StreamDataset):
        raise DatasetError("the dataset of this run is not a stream of canvases")
    return data
