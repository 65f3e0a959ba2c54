"""Rows of one kind in which every place holds a symbol and is asked: what a network of a dataset takes at the most."""

from __future__ import annotations

import numpy as np

from trm_cli.data.files.metadata import IGNORED_LABEL
from trm_cli.data.puzzles.dataset import Batch
from trm_cli.data.stream.records import GRID, PICTURE, TEXT
from trm_cli.data.stream.shape import StreamShape
from trm_cli.data.stream.vocabulary import FIRST_BYTE, FIRST_COLOUR, FIRST_LABEL


def kinds_of(shape: StreamShape) -> tuple[int, ...]:
    """The kinds of rows that a dataset of this shape may have."""
    has = {GRID: shape.side, TEXT: shape.text_window, PICTURE: shape.picture}
    return tuple(kind for kind, size in has.items() if size)


def longest_kind(shape: StreamShape, patches: int) -> int:
    """The kind whose rows have the most tokens; patches: of a picture."""
    tokens = {GRID: shape.cells, TEXT: shape.text_window, PICTURE: patches}
    return max(kinds_of(shape), key=tokens.__getitem__, default=TEXT)


def blank_rows(shape: StreamShape, kind: int, rows: int, *, pair_side: int = 0) -> Batch:
    """A batch of rows of one kind, with no field of another.

    pair_side: cells along a side of the grids of the demonstrations, as many as the dataset shows; 0: without any.
    """
    batch: Batch = {
        "kind": np.full(rows, kind, np.int32),
        "target": np.full((rows, shape.target_length), IGNORED_LABEL, np.int32),
        "puzzle_identifiers": np.zeros(rows, np.int32),
    }
    if kind == GRID:
        batch["cells"] = np.ones((rows, shape.cells), np.uint8)
        batch["size"] = np.full((rows, 4), shape.side, np.uint8)
        batch["target"][:, : shape.cells] = FIRST_COLOUR
        if pair_side and shape.demonstrations:
            batch["pair_cells"] = np.ones((rows, shape.demonstrations, 2, pair_side**2), np.uint8)
            batch["pair_size"] = np.full((rows, shape.demonstrations, 4), pair_side, np.uint8)
    elif kind == TEXT:
        batch["text"] = np.full((rows, shape.text_window), FIRST_BYTE, np.int32)
        batch["target"][:, : shape.text_window] = FIRST_BYTE
    else:
        channels, side = shape.picture or (1, 1)
        batch["picture"] = np.zeros((rows, channels, side, side), np.uint8)
        batch["target"][:, 0] = FIRST_LABEL
    return batch
