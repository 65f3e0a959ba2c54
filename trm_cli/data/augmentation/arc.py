"""Augmentations of ARC tasks: eight symmetries, permutations of the colours 1..9, shifts; and their exact inverses.

A grid is encoded into 30x30 tokens: 0 padding, 1 end marks (one row below and one column right of the grid), colour
c as c + 2. An augmentation (symmetry, permutation) has the name `<task>|||t<symmetry>|||<permutation>`, where digit i
of the permutation is the new colour of colour i; the plain task has its own id as name. This is the published
notation, so predictions and identifiers can be exchanged with other tools.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import NDArray

from trm_cli.data import dihedral

#: Beside the arrays of a dataset that makes its augmentations while it is drawn: the code of every identifier.
CODES_NAME = "augmentations.npy"
SIDE = 30
SEQ_LEN = SIDE * SIDE
PAD = 0
EOS = 1
COLOUR_OFFSET = 2
COLOURS = 10
VOCAB_SIZE = COLOUR_OFFSET + COLOURS
SEPARATOR = "|||"
IDENTITY = tuple(range(COLOURS))
_MOVABLE = COLOURS - 1
_ARRANGEMENTS = factorial(_MOVABLE)
CODES = dihedral.COUNT * _ARRANGEMENTS

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Augmentation:
    """One element of the augmentation group: colour i becomes `permutation[i]`, then the symmetry is applied."""

    symmetry: int = 0
    permutation: tuple[int, ...] = IDENTITY

    def __post_init__(self) -> None:
        if not 0 <= self.symmetry < dihedral.COUNT:
            raise ValueError(f"a symmetry is 0 to {dihedral.COUNT - 1}, not {self.symmetry}")
        if sorted(self.permutation) != list(IDENTITY) or self.permutation[0] != 0:
            raise ValueError(f"expected a permutation of 0..9 that keeps 0, not {self.permutation}")


def augmentation_name(task_id: str, augmentation: Augmentation) -> str:
    """The identifier of an augmented task: `<id>|||t<k>|||<perm>`."""
    digits = "".join(map(str, augmentation.permutation))
    return f"{task_id}{SEPARATOR}t{augmentation.symmetry}{SEPARATOR}{digits}"


def parse_name(name: str) -> tuple[str, Augmentation]:
    """Task id and augmentation of an identifier; a name without the separator is the task itself.

    Raises:
        ValueError: the name has the separator and is not of that form.
    """
    if SEPARATOR not in name:
        return name, Augmentation()
    parts = name.rsplit(SEPARATOR, 2)
    symmetry = parts[1].removeprefix("t") if len(parts) == 3 else ""
    if len(parts) != 3 or not symmetry.isdecimal() or not parts[2].isdecimal():
        raise ValueError(f"{name!r} is not of the form <id>{SEPARATOR}t<symmetry>{SEPARATOR}<permutation>")
    return parts[0], Augmentation(int(symmetry), tuple(map(int, parts[2])))


def augment_grid(grid: Bytes, augmentation: Augmentation) -> Bytes:
    """One grid [H, W] of colours 0..9, transformed."""
    return _transform(np.asarray(augmentation.permutation, dtype=np.uint8)[grid], augmentation.symmetry)


def invert_grid(grid: Bytes, augmentation: Augmentation) -> Bytes:
    """Undo `augment_grid`, exactly."""
    inverse = np.argsort(np.asarray(augmentation.permutation)).astype(np.uint8)
    return inverse[_transform(grid, dihedral.INVERSE[augmentation.symmetry])]


def _transform(grid: Bytes, symmetry: int) -> Bytes:
    cells = np.asarray(dihedral.source_cells(symmetry, *grid.shape), dtype=np.int64)
    return grid.reshape(-1)[cells].reshape(dihedral.shape(symmetry, *grid.shape))


# Codes: an augmentation as one integer below 8 * 9!, four bytes in a file instead of a name of thirty.


def encode(symmetries: NDArray[np.integer], permutations: NDArray[np.integer]) -> NDArray[np.uint32]:
    """Codes [N] of symmetries [N] and permutations [N, 10]: symmetry * 9! + rank of the permutation of 1..9."""
    rank = np.zeros(len(permutations), dtype=np.int64)
    for position in range(1, COLOURS):
        later = permutations[:, position + 1 :] < permutations[:, position : position + 1]
        rank = rank * (COLOURS - position) + later.sum(axis=1)
    return (np.asarray(symmetries, dtype=np.int64) * _ARRANGEMENTS + rank).astype(np.uint32)


def decode(codes: NDArray[np.integer]) -> tuple[Bytes, Bytes]:
    """Symmetries [N] and permutations [N, 10] of codes [N]; the inverse of `encode`."""
    symmetries, rank = np.divmod(np.asarray(codes, dtype=np.int64), _ARRANGEMENTS)
    permutations = np.zeros((len(rank), COLOURS), dtype=np.uint8)
    for position in range(COLOURS - 1, 0, -1):
        rank, digit = np.divmod(rank, COLOURS - position)
        # Position p holds `digit` among the values of p and later: those not below it move up by one.
        permutations[:, position] = digit + 1
        later = permutations[:, position + 1 :]
        later += later >= permutations[:, position : position + 1]
    return symmetries.astype(np.uint8), permutations


# Whole batches.


def encode_grids(grids: Sequence[tuple[int, int, bytes]]) -> Bytes:
    """Encode grids (height, width, colours row by row), unshifted: tokens [N, 900]."""
    tokens = np.zeros((len(grids), SIDE, SIDE), dtype=np.uint8)
    for target, (height, width, cells) in zip(tokens, grids, strict=True):
        target[:height, :width] = np.frombuffer(cells, dtype=np.uint8).reshape(height, width) + COLOUR_OFFSET
        if height < SIDE:
            target[height, :width] = EOS
        if width < SIDE:
            target[:height, width] = EOS
    return tokens.reshape(len(grids), SEQ_LEN)


def grid_sides(tokens: Bytes) -> Bytes:
    """Height and width [N, 2] of unshifted encoded grids [N, 900]."""
    from trm_cli.data.augmentation import arc_kernels  # numba takes half a second to load, and names need none of it

    sides = np.empty((len(tokens), 2), dtype=np.uint8)
    arc_kernels.grid_sides(tokens, sides)
    return sides


def crop(tokens: NDArray[np.integer]) -> NDArray[np.int64]:
    """Height and width [N, 2] of the largest all-colour rectangle from the top left of tokens [N, 900]."""
    from trm_cli.data.augmentation import arc_kernels

    sides = np.empty((len(tokens), 2), dtype=np.int64)
    arc_kernels.crop_sides(tokens, sides)
    return sides


def invert_predictions(
    tokens: NDArray[np.integer], symmetries: Bytes, permutations: Bytes
) -> tuple[Bytes, NDArray[np.int64]]:
    """Predictions [N, 900] in the colours and orientation of the plain task.

    Each is cropped to its largest all-colour rectangle from the top left first. Returns colours 0..9 row by row
    [N, 900] (what lies past height * width is 0) and sizes [N, 2].
    """
    from trm_cli.data.augmentation import arc_kernels

    cells = np.zeros((len(tokens), SEQ_LEN), dtype=np.uint8)
    sides = np.empty((len(tokens), 2), dtype=np.int64)
    arc_kernels.invert_grids(tokens, crop(tokens), symmetries, permutations, cells, sides)
    return cells, sides


def iterate_grids(cells: Bytes, sides: NDArray[np.int64]) -> Iterator[Bytes]:
    """The grids [H, W] of `invert_predictions`, one by one."""
    for row, (height, width) in zip(cells, sides, strict=True):
        yield row[: height * width].reshape(height, width)
