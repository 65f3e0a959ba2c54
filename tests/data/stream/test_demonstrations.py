"""Which other pairs of its task a grid comes with: never itself, each as likely as the others, none twice."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from trm_cli.data.stream.demonstrations import Demonstrations
from trm_cli.data.stream.records import GRID, Record
from trm_cli.data.stream.storage.plan import DEMONSTRATIONS_NAME
from trm_cli.data.stream.storage.shards import pack, to_bytes
from trm_cli.errors import DatasetError

# Pairs of tasks 1, 2 and 4; the third pair of task 2 is larger than a board of 5 cells.
SIDES = {1: [3, 4], 2: [1, 5, 7, 2, 3], 4: [2]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    pairs = [
        Record(GRID, bytes(side * side + 1), group=group, place=place, shape=(side, side, 1, 1))
        for group, sides in SIDES.items()
        for place, side in enumerate(sides, start=1)
    ]
    (tmp_path / DEMONSTRATIONS_NAME).write_bytes(to_bytes(pack(pairs, 0, 0)))
    return tmp_path


def chosen(pool: Demonstrations, group: int, place: int, count: int, epochs: int | None) -> list[tuple[int, ...]]:
    """The places of the pairs that a grid gets in each epoch; in an evaluation without epochs."""
    rows = epochs or 1
    draw = None if epochs is None else (5, np.arange(epochs), np.full(rows, 17))
    found = pool.choose(np.full(rows, group), np.full(rows, place), count, draw)
    assert (pool.shard.group[found[found >= 0]] == group).all()
    return [tuple(pool.shard.place[row[row >= 0]].tolist()) for row in found]


def test_an_evaluation_takes_the_first_ones_that_fit(root: Path) -> None:
    pool = Demonstrations(root, 5)
    assert chosen(pool, 2, 0, 3, None) == [(1, 2, 4)]
    assert chosen(pool, 2, 2, 3, None) == [(1, 4, 5)]
    assert chosen(pool, 1, 1, 3, None) == [(2,)]
    assert chosen(pool, 4, 1, 2, None) == [()] and chosen(pool, 4, 0, 2, None) == [(1,)]
    assert chosen(pool, 3, 0, 2, None) == [()] and chosen(pool, 9, 0, 2, None) == [()]
    assert chosen(Demonstrations(root, 30), 2, 0, 3, None) == [(1, 2, 3)]


@pytest.mark.parametrize("place", [0, 1, 4])
def test_every_choice_in_every_order_is_as_likely_as_the_others(root: Path, place: int) -> None:
    epochs = 12_000
    counts = Counter(chosen(Demonstrations(root, 5), 2, place, 2, epochs))
    others = [other for other in (1, 2, 4, 5) if other != place]
    assert set(counts) == set(permutations(others, 2))
    expected = epochs / len(counts)
    chi = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi < 3 * len(counts), "of a sum that is near its number of terms by chance"


def test_a_grid_of_a_pair_that_is_not_there_is_refused(root: Path, tmp_path: Path) -> None:
    from trm_cli.data.stream.storage.shard_file import RecordShard, ShardFile

    pool = Demonstrations(root, 5)
    (tmp_path / "a.pt").write_bytes(to_bytes(pack([Record(GRID, b"12", group=1, place=3, shape=(1, 1, 1, 1))], 0, 0)))
    with pytest.raises(DatasetError, match=r"a\.pt holds a pair that .*demonstrations\.pt does not hold"):
        pool.require_tasks(RecordShard(ShardFile(tmp_path / "a.pt")), "a.pt")
