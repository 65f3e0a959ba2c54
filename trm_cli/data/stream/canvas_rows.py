"""Make a batch row of one text or one grid, laid out as the evaluation lays out records of a stream dataset."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.arc.encoding import Grid
from trm_cli.data.puzzles.dataset import Batch
from trm_cli.data.stream.canvas_codes import CanvasSpec, grid_target, place_grid, place_text, text_target
from trm_cli.data.stream.records import GRID, TEXT
from trm_cli.data.stream.vocabulary import EOS, FIRST_BYTE, FIRST_COLOUR, IGNORED


def text_row(text: bytes, spec: CanvasSpec, length: int, following: bytes = b"") -> Batch:
    """A canvas that shows as much of the end of a text as fits; `following` is what should come next."""
    row = _empty(spec, length)
    place_text(row["canvas"][0], text[-spec.characters :])
    text_target(row["target"][0], following, ends=False)
    row["canvas_kind"][:], row["target_kind"][:] = TEXT, 1
    return row


def grid_row(given: Grid, spec: CanvasSpec, length: int, *, identifier: int = 0, wanted: Grid | None = None) -> Batch:
    """A canvas with a grid [h, w] of colours 0..9 at its top left, and where it is known the answer as the target.

    Raises ValueError for a grid that is larger than the canvas.
    """
    for grid in (given, given if wanted is None else wanted):
        if max(grid.shape) > spec.side:
            raise ValueError(
                f"a grid of {grid.shape[0]}x{grid.shape[1]} cells does not fit a canvas of {spec.side}x{spec.side}"
            )
    row = _empty(spec, length)
    square = (spec.side, spec.side)
    place_grid(row["canvas"][0].view(np.uint8)[: spec.cells].reshape(square), given, 0, 0)
    if wanted is not None:
        grid_target(row["target"][0].view(np.int32)[: spec.cells].reshape(square), wanted, 0, 0)
    row["canvas_kind"][:], row["target_kind"][:], row["puzzle_identifiers"][:] = GRID, 0, identifier
    return row


def answered_grid(tokens: NDArray[np.integer], spec: CanvasSpec) -> Grid:
    """The grid [h, w] that an answer [cells] says, colours 0..9: from the top left to its first end mark each way.

    What is no colour within it counts as colour 0; an answer without a colour at the top left is one black cell.
    """
    cells = np.asarray(tokens)[: spec.cells].reshape(spec.side, spec.side)
    colours = (cells >= FIRST_COLOUR) & (cells < FIRST_BYTE)
    height = _run(colours[:, 0] & (cells[:, 0] != EOS))
    width = _run(colours[0] & (cells[0] != EOS))
    if not height or not width:
        return np.zeros((1, 1), np.uint8)
    inside = cells[:height, :width].astype(np.int64) - FIRST_COLOUR
    return np.where(colours[:height, :width], inside, 0).astype(np.uint8)


def _run(values: NDArray[np.bool_]) -> int:
    """How many of the first values are true."""
    return int(np.argmin(values)) if not values.all() else len(values)


def _empty(spec: CanvasSpec, length: int) -> Batch:
    return {
        "canvas_kind": np.zeros(1, np.int32),
        "canvas": np.zeros((1, max(spec.cells, spec.characters)), np.uint8),
        "target": np.full((1, length), IGNORED, np.int32),
        "target_kind": np.zeros(1, np.int32),
        "puzzle_identifiers": np.zeros(1, np.int32),
    }
