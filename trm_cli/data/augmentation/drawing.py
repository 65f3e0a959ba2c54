"""Augmentation while batches are drawn. A kind is named in `dataset.json`: {"kind": "sudoku", "count": 1000, ...}.

An augmented puzzle is a function of (the seed in dataset.json, stored puzzle, augmentation index), so that drawing it
and storing it (`--materialize`) give the same puzzle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from trm_cli.errors import DatasetError

Index = NDArray[np.int64]
IntArray = NDArray[np.integer]

# kind -> "module:class"; imported when a dataset asks for it. The class is built as cls(settings, seq_len=...,
# directory=...), where the directory is that of the split.
KINDS: dict[str, str] = {
    "arc": "trm_cli.data.augmentation.arc:ArcAugmentation",
    "maze": "trm_cli.data.augmentation.maze:MazeAugmentation",
    "sudoku": "trm_cli.data.augmentation.sudoku:SudokuAugmentation",
}


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
    """What a kind of augmentation offers."""

    def variant_counts(self, puzzles: int) -> Index:
        """Return how many puzzles each of the stored puzzles stands for, itself included: [puzzles], at least 1."""

    def apply(self, draw: Draw) -> tuple[IntArray, IntArray, Index]:
        """Return inputs [b, S], labels [b, S] and puzzle identifiers [b] of the wanted augmentations."""


def create_augmentation(settings: Mapping[str, object], *, seq_len: int, where: str) -> Augmentation:
    """Build the augmentation that a dataset names; `where` is the split's directory. Raises DatasetError naming it."""
    kind = settings.get("kind")
    target = KINDS.get(kind) if isinstance(kind, str) else None
    if target is None:
        raise DatasetError(f"{where}: augmentation kind {kind!r} is unknown, expected one of {', '.join(KINDS)}")
    module, _, name = target.partition(":")
    try:
        augmentation: Augmentation = getattr(import_module(module), name)(
            settings, seq_len=seq_len, directory=Path(where)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{where}: the augmentation settings are damaged: {error}") from error
    return augmentation
