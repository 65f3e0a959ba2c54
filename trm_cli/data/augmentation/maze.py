"""Augment square mazes by their eight symmetries. Tokens keep their meaning; only their positions change."""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data import dihedral
from trm_cli.data.augmentation.drawing import Draw, Index, IntArray


class MazeAugmentation:
    """All eight symmetries of every maze; index 0 is the maze itself."""

    tokens = None
    identifiers = None

    def __init__(self, settings: Mapping[str, object], *, seq_len: int, directory: Path | None = None) -> None:  # noqa: ARG002  # every kind is built alike
        count = settings["count"]
        if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count < dihedral.COUNT:
            raise ValueError(f"count must be 0 to {dihedral.COUNT - 1}, found {count!r}")
        self._count = count
        self._cells = symmetry_cells(seq_len)

    def variant_counts(self, puzzles: int) -> Index:
        """Return 1 + count for every puzzle: [puzzles]."""
        return np.full(puzzles, self._count + 1, dtype=np.int64)

    def apply(self, draw: Draw) -> tuple[IntArray, IntArray, Index]:
        """Return inputs and labels [b, N * N] under the symmetries `variants`, identifiers as they are."""
        return (
            transform(draw.inputs, self._cells, draw.variants),
            transform(draw.labels, self._cells, draw.variants),
            draw.identifiers,
        )


def symmetry_cells(seq_len: int) -> NDArray[np.intp]:
    """Source cell of every cell under every symmetry: [8, N * N]. Raises ValueError unless seq_len is a square."""
    side = isqrt(seq_len)
    if side * side != seq_len:
        raise ValueError(f"{seq_len} cells are not a square")
    return np.array([dihedral.source_cells(symmetry, side, side) for symmetry in range(dihedral.COUNT)], dtype=np.intp)


def transform(rows: IntArray, cells: NDArray[np.intp], symmetries: Index) -> IntArray:
    """Boards [b, N * N], each under its symmetry [b]."""
    return np.take_along_axis(rows, cells[symmetries], axis=1)
