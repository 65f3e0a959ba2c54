"""Compute the shuffled order of an epoch as a pure function of (seed, epoch, lap).

An epoch is a random order of the groups; each group contributes one puzzle (augmentation) drawn at random, with all its
examples in random order. Where an epoch must be longer than that (a batch larger than the dataset, or puzzles that
came out shorter than average) it continues with another lap (a second shuffled pass).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trm_cli.data import counter_rng

Index = NDArray[np.int64]


@dataclass(frozen=True)
class GroupTable:
    """The groups of all opened datasets, or some of them, in one numbering.

    A group offers `choices` puzzles. Stored augmentations: each choice is a stored puzzle of the group. On the fly:
    the group has one stored puzzle, and the choice is the index of the augmentation (0 is the puzzle itself).
    """

    first_puzzle: Index  # [groups]
    choices: Index  # [groups]
    stored: NDArray[np.bool_]  # [groups] True where a choice is a stored puzzle
    puzzle_start: Index  # [puzzles + 1] offsets of examples

    def without(self, resting: Sequence[int]) -> GroupTable:
        """The other groups. Raises ValueError where none is left."""
        kept = np.setdiff1d(np.arange(len(self.choices)), np.asarray(resting, dtype=np.int64))
        if not len(kept):
            raise ValueError("all groups rest: there is nothing to draw")
        return replace(self, first_puzzle=self.first_puzzle[kept], choices=self.choices[kept], stored=self.stored[kept])


@dataclass(frozen=True)
class Rows:
    """Examples to draw: global example index, global puzzle index and augmentation index, each [n]."""

    examples: Index
    puzzles: Index
    variants: Index

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, selection: slice | Index) -> Rows:
        return Rows(self.examples[selection], self.puzzles[selection], self.variants[selection])


class EpochOrder:
    """The order of every epoch of one table under one seed. It caches the laps used last; the cache is not state."""

    def __init__(self, table: GroupTable, seed: int) -> None:
        self._table = table
        self._seed = seed
        self.lap = lru_cache(maxsize=3)(self._compute_lap)

    def _compute_lap(self, epoch: int, lap: int) -> Rows:
        table, seed = self._table, self._seed
        order = counter_rng.order_of_bits(
            counter_rng.bits(seed, "train/groups", (epoch, lap), len(table.choices))
        )  # [groups]
        choice = counter_rng.integers(seed, "train/puzzle", (epoch, lap, order), table.choices[order])
        stored = table.stored[order]
        puzzles = table.first_puzzle[order] + np.where(stored, choice, 0)
        variants = np.where(stored, 0, choice)
        starts = table.puzzle_start[puzzles]
        sizes = table.puzzle_start[puzzles + 1] - starts
        if sizes.max() == 1:
            return Rows(starts, puzzles, variants)
        place = np.repeat(np.arange(len(order)), sizes)  # [n] which puzzle of the order an example belongs to
        within = np.arange(len(place)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        keys = counter_rng.keys(seed, "train/example", (epoch, lap, order[place], within))
        within = within[np.lexsort((within, keys, place))]
        return Rows(starts[place] + within, puzzles[place], variants[place])

    def segments(self, epoch: int, start: int, stop: int) -> Iterator[tuple[int, Rows]]:
        """Yield (lap, rows) that together are the places start..stop-1 of an epoch."""
        lap = 0
        while start < stop:
            rows = self.lap(epoch, lap)
            if start < len(rows):
                yield lap, rows[start : min(stop, len(rows))]
            start, stop, lap = max(0, start - len(rows)), stop - len(rows), lap + 1
