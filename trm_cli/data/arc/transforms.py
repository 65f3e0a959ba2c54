"""Transforms of ARC tasks: eight symmetries and permutations of the colours 1..9, with their names, codes and inverses.

A transform (symmetry, permutation) has the name `<task>|||t<symmetry>|||<permutation>`, where digit i
of the permutation is the new colour of colour i; the plain task has its own id as name. This is the published
notation, so predictions and identifiers can be exchanged with other tools.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import NDArray

from trm_cli.data import dihedral
from trm_cli.data.arc.encoding import Bytes, crop
from trm_cli.data.arc.layout import COLOURS

SEPARATOR = "|||"
IDENTITY = tuple(range(COLOURS))
_MOVABLE = COLOURS - 1
_ARRANGEMENTS = factorial(_MOVABLE)
CODES = dihedral.COUNT * _ARRANGEMENTS


@dataclass(frozen=True)
class Transform:
    """One element of the group: colour i becomes `permutation[i]`, then the symmetry is applied."""

    symmetry: int = 0
    permutation: tuple[int, ...] = IDENTITY

    def __post_init__(self) -> None:
        if not 0 <= self.symmetry < dihedral.COUNT:
            raise ValueError(f"a symmetry is 0 to {dihedral.COUNT - 1}, not {self.symmetry}")
        if sorted(self.permutation) != list(IDENTITY) or self.permutation[0] != 0:
            raise ValueError(f"expected a permutation of 0..9 that keeps 0, not {self.permutation}")


def transform_name(task_id: str, transform: Transform) -> str:
    """The identifier of an augmented task: `<id>|||t<k>|||<perm>`."""
    digits = "".join(map(str, transform.permutation))
    return f"{task_id}{SEPARATOR}t{transform.symmetry}{SEPARATOR}{digits}"


def parse_name(name: str) -> tuple[str, Transform]:
    """Task id and augmentation of an identifier; a name without the separator is the task itself.

    Raises:
        ValueError: the name has the separator and is not of that form.
    """
    if SEPARATOR not in name:
        return name, Transform()
    parts = name.rsplit(SEPARATOR, 2)
    symmetry = parts[1].removeprefix("t") if len(parts) == 3 else ""
    if len(parts) != 3 or not symmetry.isdecimal() or not parts[2].isdecimal():
        raise ValueError(f"{name!r} is not of the form <id>{SEPARATOR}t<symmetry>{SEPARATOR}<permutation>")
    return parts[0], Transform(int(symmetry), tuple(map(int, parts[2])))


def augment_grid(grid: Bytes, transform: Transform) -> Bytes:
    """One grid [H, W] of colours 0..9, transformed."""
    recoloured = np.asarray(transform.permutation, dtype=np.uint8)[grid]
    cells = np.asarray(dihedral.source_cells(transform.symmetry, *grid.shape), dtype=np.int64)
    return recoloured.reshape(-1)[cells].reshape(dihedral.shape(transform.symmetry, *grid.shape))


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


def invert_predictions(
    tokens: NDArray[np.integer], symmetries: Bytes, permutations: Bytes
) -> tuple[Bytes, NDArray[np.int64]]:
    """Predictions [N, S] in the colours and orientation of the plain task.

    Each is cropped to its largest all-colour rectangle from the top left first. Returns colours 0..9 row by row
    [N, S] (what lies past height * width is 0) and sizes [N, 2].
    """
    from trm_cli.data.arc import kernels

    cells = np.zeros(tokens.shape, dtype=np.uint8)
    sides = np.empty((len(tokens), 2), dtype=np.int64)
    kernels.invert_grids(tokens, crop(tokens), symmetries, permutations, cells, sides)
    return cells, sides
