"""Define the interface of an augmentation. Its kind is named in `dataset.json`: {"kind": "sudoku", "count": 1000, ...}.

An augmented puzzle is a function of (the seed in dataset.json, stored puzzle, augmentation index), so that drawing it
and storing it (`--materialize`) give the same puzzle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]
IntArray = NDArray[np.integer]


@dataclass(frozen=True)
class Draw:
    """Stored examples and which augmentation of each is wanted.

    `epoch` and `lap` are there for what changes from one visit to the next (a translation, say); epoch is None in
    evaluation, where nothing random but the augmentation itself may happen.
    """

    inputs: IntArray  # [b, S] as stored
    labels: IntArray  # [b, S] as stored
    identifiers: Index  # [b] puzzle identifiers as stored
    puzzles: Index  # [b] index of the stored puzzle in its set
    examples: Index  # [b] index of the example in its set
    variants: Index  # [b] augmentation index, 0 = the stored puzzle itself
    seed: int  # of the run
    epoch: int | None
    lap: int


class Augmentation(Protocol):
    """The interface of an augmentation.

    tokens: it reads tables of so many tokens, None where a token's value does not matter to it. identifiers: how many
    puzzle identifiers it knows, None where it leaves them as they are.
    """

    @property
    def tokens(self) -> int | None:
        """See above."""

    @property
    def identifiers(self) -> int | None:
        """See above."""

    def variant_counts(self, puzzles: int) -> Index:
        """Return the number of variants of each stored puzzle, itself included: [puzzles], at least 1."""

    def apply(self, draw: Draw) -> tuple[IntArray, IntArray, Index]:
        """Return inputs [b, S], labels [b, S] and puzzle identifiers [b] of the wanted augmentations."""
