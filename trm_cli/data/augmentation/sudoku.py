"""Augment Sudoku by its symmetries: permute digits, bands, stacks, the rows and columns within them, and transpose.

Each maps a puzzle with one solution to a puzzle with one solution. A board of boxes with r rows and c columns has
N = r*c digits, N/r = c bands of r rows, N/c = r stacks of c columns. Transposing turns r x c boxes into c x r boxes, so
it is a symmetry of the same puzzle kind only where r == c.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data import counter_rng
from trm_cli.data.augmentation.drawing import Draw, Index, IntArray

BLANK_TOKEN = 1
_STREAM = "augmentation/sudoku"


class SudokuAugmentation:
    """`count` augmentations of every puzzle; index 0 is the puzzle itself. Tokens: 0 pad, 1 blank, digit + 1."""

    identifiers = None

    def __init__(self, settings: Mapping[str, object], *, seq_len: int, directory: Path | None = None) -> None:  # noqa: ARG002
        rows, columns = (_integer(value, "box") for value in _pair(settings["box"]))
        self._count = _integer(settings["count"], "count", minimum=0)
        self._seed = _integer(settings["seed"], "seed", minimum=None)
        if (rows * columns) ** 2 != seq_len:
            raise ValueError(f"boxes of {rows}x{columns} do not make boards of {seq_len} cells")
        self._box = (rows, columns)
        self._side = rows * columns
        self.tokens = self._side + 2

    def variant_counts(self, puzzles: int) -> Index:
        """Return 1 + count for every puzzle: [puzzles]."""
        return np.full(puzzles, self._count + 1, dtype=np.int64)

    def apply(self, draw: Draw) -> tuple[IntArray, IntArray, Index]:
        """Return the wanted augmentations: tokens [b, N*N] twice, and the identifiers unchanged."""
        tokens, cells = self.transforms(draw.puzzles, draw.variants)
        rows = np.arange(len(cells), dtype=np.intp)[:, None]
        # Offsets into flat arrays: one gather over a small table is faster than two-dimensional indexing.
        cells += rows * self._side**2
        table = tokens.ravel()
        shift = rows * tokens.shape[1]
        inputs = table[np.ascontiguousarray(draw.inputs).ravel()[cells] + shift]
        labels = table[np.ascontiguousarray(draw.labels).ravel()[cells] + shift]
        return inputs, labels, draw.identifiers

    def transforms(self, puzzles: Index, variants: Index) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
        """Return new token of each old token [b, N + 2] and source cell of each cell [b, N*N]."""
        (height, width), side = self._box, self._side
        # One call for all random bits: digits N, bands c, rows N, stacks r, columns N, transposition 1.
        counts = (side, width, side, height, side, 1)
        random = counter_rng.bits(self._seed, _STREAM, (puzzles, variants), sum(counts))
        digits, bands, rows, stacks, columns, turn = np.split(random, np.cumsum(counts)[:-1], axis=1)
        batch = len(random)

        tokens = np.empty((batch, side + 2), dtype=np.uint8)
        tokens[:, 0], tokens[:, BLANK_TOKEN] = 0, BLANK_TOKEN
        tokens[:, 2:] = counter_rng.order_of_bits(digits) + 2

        row_source = _lines(bands, rows, height)
        column_source = _lines(stacks, columns, width)
        plain = variants == 0
        identity = np.arange(side)
        row_source[plain], column_source[plain] = identity, identity
        tokens[plain] = np.arange(side + 2)
        row_step, column_step = np.full((batch, 1), side, np.intp), np.ones((batch, 1), np.intp)
        if height == width:
            turned = (turn[:, :1] >> np.uint64(63)).astype(bool) & ~plain[:, None]
            row_step, column_step = np.where(turned, column_step, row_step), np.where(turned, row_step, column_step)
        cells = (row_source * row_step)[:, :, None] + (column_source * column_step)[:, None, :]
        return tokens, cells.reshape(batch, side * side)


def _lines(blocks: counter_rng.Bits, within: counter_rng.Bits, size: int) -> NDArray[np.intp]:
    """Order lines by blocks: bits [b, n] and [b, n * size] -> source line of each line [b, n * size]."""
    batch, count = blocks.shape
    block = counter_rng.order_of_bits(blocks)  # [b, n]
    line = counter_rng.order_of_bits(within.reshape(batch, count, size))  # [b, n, size]
    return (block[:, :, None] * size + line).reshape(batch, count * size)


def _pair(value: object) -> tuple[object, object]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"box must be two numbers, found {value!r}")
    return value[0], value[1]


def _integer(value: object, name: str, minimum: int | None = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or (minimum is not None and value < minimum):
        raise ValueError(
            f"{name} must be an integer{'' if minimum is None else f' of at least {minimum}'}, found {value!r}"
        )
    return value
