"""Loops over ARC rows, compiled by numba: transform encoded grids, crop predictions, undo augmentations."""

from __future__ import annotations

import numpy as np

from trm_cli.data import dihedral
from trm_cli.data.arc.layout import COLOUR_OFFSET, COLOURS, EOS, PAD
from trm_cli.data.numba_jit import compiled

_INVERSE = np.array(dihedral.INVERSE, dtype=np.uint8)
_SWAPS = np.array(dihedral.SWAPS_SIDES)
_affine = compiled(dihedral.affine)


@compiled
def _side(cells: int) -> int:
    """Side of the square canvas of a row."""
    side = 1
    while side * side < cells:
        side += 1
    return side


@compiled
def _sides(row: np.ndarray, side: int) -> tuple[int, int]:
    """Height and width of the grid in the top left corner of an encoded row."""
    height, width = 0, 0
    while height < side and row[height * side] >= COLOUR_OFFSET:
        height += 1
    while width < side and row[width] >= COLOUR_OFFSET:
        width += 1
    return height, width


@compiled
def grid_sides(rows: np.ndarray, sides: np.ndarray) -> None:
    """Write (height, width) of every encoded row [N, S] into `sides` [N, 2]."""
    side = _side(rows.shape[1])
    for index in range(rows.shape[0]):
        sides[index, 0], sides[index, 1] = _sides(rows[index], side)


@compiled
def _write(source: np.ndarray, symmetry: int, colour_map: np.ndarray, top: int, left: int, target: np.ndarray) -> None:
    """Write one transformed, recoloured, shifted grid with its end marks into `target` [S]."""
    side = _side(target.shape[0])
    height, width = _sides(source, side)
    base, row_step, column_step = _affine(symmetry, height, width, side)
    if _SWAPS[symmetry]:
        height, width = width, height
    target[:] = PAD
    for r in range(height):
        read, write = base + r * row_step, (top + r) * side + left
        for c in range(width):
            target[write + c] = colour_map[source[read + c * column_step] - COLOUR_OFFSET] + COLOUR_OFFSET
    if top + height < side:
        write = (top + height) * side + left
        for c in range(width):
            target[write + c] = EOS
    if left + width < side:
        for r in range(height):
            target[(top + r) * side + left + width] = EOS


@compiled
def augment_grids(
    stored: np.ndarray, symmetries: np.ndarray, permutations: np.ndarray, offsets: np.ndarray, augmented: np.ndarray
) -> None:
    """Write the augmentations of encoded rows [N, S] into `augmented` [N, S].

    symmetries [N], permutations [N, 10] (new colour of every colour), offsets [N, 2] (rows down, columns right).
    """
    for i in range(stored.shape[0]):
        _write(stored[i], symmetries[i], permutations[i], offsets[i, 0], offsets[i, 1], augmented[i])


@compiled
def crop_sides(tokens: np.ndarray, sides: np.ndarray) -> None:
    """Largest rectangle from the top left whose cells are all colours, for every row [N, S]; the lowest of equals."""
    side = _side(tokens.shape[1])
    last = COLOUR_OFFSET + COLOURS - 1
    for index in range(tokens.shape[0]):
        row = tokens[index]
        width, best, best_height, best_width = side, 0, 0, 0
        for height in range(1, side + 1):
            start = (height - 1) * side
            for c in range(width):
                if row[start + c] < COLOUR_OFFSET or row[start + c] > last:
                    width = c
                    break
            if height * width > best:
                best, best_height, best_width = height * width, height, width
        sides[index, 0], sides[index, 1] = best_height, best_width


@compiled
def invert_grids(
    tokens: np.ndarray,
    sides: np.ndarray,
    symmetries: np.ndarray,
    permutations: np.ndarray,
    cells: np.ndarray,
    out_sides: np.ndarray,
) -> None:
    """Undo the augmentation of cropped grids: colours 0..9 row by row into `cells` [N, S], sizes to `out_sides`."""
    side = _side(tokens.shape[1])
    inverse = np.zeros(COLOURS, dtype=np.uint8)
    for index in range(tokens.shape[0]):
        height, width = sides[index, 0], sides[index, 1]
        for colour in range(COLOURS):
            inverse[permutations[index, colour]] = colour
        symmetry = _INVERSE[symmetries[index]]
        base, row_step, column_step = _affine(symmetry, height, width, side)
        if _SWAPS[symmetry]:
            height, width = width, height
        for r in range(height):
            for c in range(width):
                token = tokens[index, base + r * row_step + c * column_step]
                cells[index, r * width + c] = inverse[token - COLOUR_OFFSET]
        out_sides[index, 0], out_sides[index, 1] = height, width
