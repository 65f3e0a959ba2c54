"""Define the eight symmetries of a rectangular grid (the dihedral group), numbered as in the published datasets.

0 identity, 1-3 rotations by 90, 180, 270 degrees counter-clockwise, 4 left-right flip, 5 up-down flip, 6 transpose,
7 anti-transpose. Standard library alone: planning, numpy code and compiled kernels read the same definitions.
"""

from __future__ import annotations

from functools import lru_cache

COUNT = 8
# Symmetries 1, 3, 6 and 7 exchange height and width.
SWAPS_SIDES = (False, True, False, True, False, False, True, True)
INVERSE = (0, 3, 2, 1, 4, 5, 6, 7)


def affine(symmetry: int, height: int, width: int, stride: int) -> tuple[int, int, int]:
    """Where a transformed grid reads its cells: output cell (r, c) is input cell `base + r * row + c * column`.

    `height` and `width` are those of the input grid, whose rows are `stride` cells apart: its width, unless it is part
    of a larger one. Returns (base, row, column). Compiled as well (`arc.kernels`).
    """
    last_row, last_column = (height - 1) * stride, width - 1
    return (
        (0, stride, 1),
        (last_column, -1, stride),
        (last_row + last_column, -stride, -1),
        (last_row, 1, -stride),
        (last_column, stride, -1),
        (last_row, -stride, 1),
        (0, 1, stride),
        (last_row + last_column, -1, -stride),
    )[symmetry]


def shape(symmetry: int, height: int, width: int) -> tuple[int, int]:
    """Height and width of the transformed grid."""
    return (width, height) if SWAPS_SIDES[symmetry] else (height, width)


@lru_cache(maxsize=8192)
def source_cells(symmetry: int, height: int, width: int) -> tuple[int, ...]:
    """Index of the input cell that every output cell reads, row by row."""
    base, row, column = affine(symmetry, height, width, width)
    out_height, out_width = shape(symmetry, height, width)
    return tuple(base + r * row + c * column for r in range(out_height) for c in range(out_width))


def _compose(second: int, first: int) -> int:
    height, width = 2, 3
    inner = source_cells(first, height, width)
    outer = source_cells(second, *shape(first, height, width))
    both = tuple(inner[cell] for cell in outer)
    return next(
        symmetry
        for symmetry in range(COUNT)
        if source_cells(symmetry, height, width) == both
        and shape(symmetry, height, width) == shape(second, *shape(first, height, width))
    )


# COMPOSE[second][first]: the one symmetry that equals applying `first` and then `second`.
COMPOSE = tuple(tuple(_compose(second, first) for first in range(COUNT)) for second in range(COUNT))
