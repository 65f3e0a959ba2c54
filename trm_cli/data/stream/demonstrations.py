"""Choose which other pairs of its task a grid comes with.

All pairs that show the rules of the tasks lie in one shard file, written with the plan, task by task.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data import counter_rng
from trm_cli.data.stream.storage.plan import DEMONSTRATIONS_NAME
from trm_cli.data.stream.storage.shard_file import RecordShard, ShardFile
from trm_cli.errors import DatasetError

Index = NDArray[np.int64]


class Demonstrations:
    """The pairs of the file that fit a board. Pair `place` of a task is the place-th of it in the file, from 1 on."""

    def __init__(self, root: str | Path, side: int) -> None:
        """side: cells along one side of the board. Raises DatasetError."""
        file = ShardFile(Path(root) / DEMONSTRATIONS_NAME)
        self.shard = RecordShard(file)
        if self.shard.kind.any() or np.any(np.diff(self.shard.group) < 0):
            raise file.damaged("it is not a row of tasks")
        self._fits = np.flatnonzero(self.shard.shape.max(axis=1, initial=0) <= side)  # [pairs that fit]
        self._groups = self.shard.group[self._fits]
        self._file = file

    def choose(
        self, groups: Index, places: Index, count: int, draw: tuple[int, Index, Index] | None
    ) -> NDArray[np.int64]:
        """Return `count` pairs for each grid, as records of the file: [n, count], -1 where a task has no more.

        groups, places [n]: of the grids; a grid is never its own demonstration. draw: seed, epochs [n] and ordinals [n]
        of the grids; None: the first ones.
        """
        first = np.searchsorted(self._groups, groups, side="left")
        number = np.searchsorted(self._groups, groups, side="right") - first
        # The place of the grid itself among the pairs of its task that fit.
        own_record = np.searchsorted(self.shard.group, groups, side="left") + places - 1
        own = np.searchsorted(self._fits, own_record) - first
        taken = np.where(places > 0, own, np.iinfo(np.int64).max)[:, None]  # [n, 1 + pairs so far], sorted
        left = number - (places > 0)
        found = np.full((len(groups), count), -1, np.int64)
        for slot in range(count):
            remaining = left - slot
            if draw is None:
                chosen = np.zeros(len(groups), np.int64)
            else:
                seed, epochs, ordinals = draw
                bound = np.maximum(remaining, 1)
                chosen = counter_rng.integers(seed, f"stream/pairs/{slot}", (epochs, ordinals), bound)
            for earlier in taken.T:
                chosen = chosen + (chosen >= earlier)
            there = remaining > 0
            found[there, slot] = self._fits[(first + chosen)[there]]
            taken = np.sort(np.concatenate([taken, chosen[:, None]], axis=1), axis=1)
        return found

    def require_tasks(self, shard: RecordShard, name: str) -> None:
        """Raise DatasetError unless every place of a shard's grids is that of a pair of the file."""
        known = np.searchsorted(self.shard.group, shard.group, side="right") - np.searchsorted(
            self.shard.group, shard.group, side="left"
        )
        if np.any(shard.place > known):
            raise DatasetError(f"{name} holds a pair that {self._file.path} does not hold")
