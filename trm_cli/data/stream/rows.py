"""Make a batch row of one grid, text or picture, as the evaluation draws the records of a stream dataset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.arc.encoding import Grid
from trm_cli.data.puzzles.dataset import Batch
from trm_cli.data.stream.boards import Grids, board_targets
from trm_cli.data.stream.drawing import Drawing
from trm_cli.data.stream.records import GRID, PICTURE, TEXT
from trm_cli.data.stream.shape import StreamShape
from trm_cli.data.stream.vocabulary import FIRST_BYTE, FIRST_CONTROL, FIRST_LABEL, START


def grid_row(
    shape: StreamShape,
    given: Grid,
    wanted: Grid | None = None,
    pairs: Sequence[tuple[Grid, Grid]] = (),
    *,
    identifier: int = 0,
) -> Batch:
    """A grid [h, w] of colours 0..9, its answer where that is known, and the first pairs of its task.

    Raises ValueError for a grid that is larger than the board; pairs that are larger are left out.
    """
    for grid in (given,) if wanted is None else (given, wanted):
        if max(grid.shape) > shape.side:
            raise ValueError(
                f"a grid of {grid.shape[0]}x{grid.shape[1]} cells does not fit a board of {shape.side}x{shape.side}"
            )
    row = Drawing(shape, None, None).empty(1)
    row["kind"][:], row["puzzle_identifiers"][:] = GRID, identifier
    boards, sizes = _lay([given], shape.side)
    row["cells"][:], row["size"][:, :2] = boards.reshape(1, -1), sizes
    if wanted is not None:
        boards, row["size"][:, 2:] = _lay([wanted], shape.side)
        row["target"][:, : shape.cells] = board_targets(boards, row["size"][:, 2:].astype(np.uint8)).reshape(1, -1)
    fitting = [pair for pair in pairs if max(*pair[0].shape, *pair[1].shape) <= shape.side]
    for slot, pair in enumerate(fitting[: shape.demonstrations]):
        boards, sizes = _lay(pair, shape.side)
        row["pair_cells"][0, slot] = boards.reshape(2, -1)
        row["pair_size"][0, slot] = sizes.reshape(4)
    return row


def text_row(shape: StreamShape, text: bytes) -> Batch:
    """As much of the end of a text as fits, with the start mark where all of it does; nothing is asked."""
    row = Drawing(shape, None, None).empty(1)
    tokens = [START, *(byte + FIRST_BYTE for byte in text)][-shape.text_window :]
    row["kind"][:] = TEXT
    row["text"][0, : len(tokens)] = tokens
    return row


def picture_row(shape: StreamShape, pixels: NDArray[np.uint8], label: int | None = None) -> Batch:
    """A picture [C, h, w] of the dataset's size, and its class where that is known."""
    row = Drawing(shape, None, None).empty(1)
    row["kind"][:], row["picture"][0] = PICTURE, pixels
    if label is not None:
        row["target"][:, 0] = FIRST_LABEL + label
    return row


def render_text(tokens: NDArray[np.integer]) -> bytes:
    """Return the bytes among tokens [n]."""
    kept = tokens[(tokens >= FIRST_BYTE) & (tokens < FIRST_CONTROL)]
    return bytes((kept - FIRST_BYTE).astype(np.uint8))


def _lay(grids: Sequence[Grid], side: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    shapes = np.array([grid.shape for grid in grids], dtype=np.int64)
    sizes = shapes.prod(axis=1)
    cells = np.concatenate([np.asarray(grid, np.uint8).reshape(-1) for grid in grids])
    return Grids(cells, np.cumsum(sizes) - sizes, shapes[:, 0], shapes[:, 1]).lay(side)
