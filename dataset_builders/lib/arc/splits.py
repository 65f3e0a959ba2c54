"""Split ARC tasks into training and test pairs, and check that no test pair is trained on.

Demonstrations of the test set's tasks train, their test pairs test; all pairs of every other task train. A test pair
that also stands among the training pairs of another record is an overlap. It is looked for by content, up to the eight
symmetries and any change of colours, because training sees all of those; ids are compared as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from trm_cli.errors import DatasetError, UsageError

from .symmetry import canonical_key
from .task_sources import TaskSource
from .tasks import Pair, Task, TaskGrid

# (test task, training task) of ARC-AGI-1 as published: the pair is the same up to symmetry and colours. Every
# published figure trains on them; a build states them and goes on.
PUBLISHED_OVERLAPS = frozenset({("070dd51e", "40853293"), ("50a16a69", "caa06a1f")})
_SHOWN = 5


@dataclass(frozen=True)
class Group:
    """One base task as the dataset has it: pairs that train, pairs that test (none for a training task)."""

    id: str
    train: tuple[Pair, ...]
    test: tuple[Pair, ...]

    @property
    def task(self) -> Task:
        """All pairs as one task: what its symmetry is computed from."""
        return Task(self.id, "", self.train, self.test, "")


@dataclass(frozen=True)
class Overlap:
    """A test task one of whose test pairs is also trained on: by `partner` of subset `subset`."""

    test_id: str
    partner: str
    subset: str

    def __str__(self) -> str:
        if self.partner == self.test_id:
            return f"{self.test_id} (in {self.subset})"
        return f"{self.test_id} (as {self.partner} in {self.subset})"

    @property
    def published(self) -> bool:
        """Return whether the published data has this overlap itself."""
        return (self.test_id, self.partner) in PUBLISHED_OVERLAPS


@dataclass(frozen=True)
class Splits:
    """All groups in order, the overlaps that were found, and how many records were merged because they share an id."""

    groups: tuple[Group, ...]
    overlaps: tuple[Overlap, ...]
    merged: int

    @property
    def unanswered(self) -> int:
        """Test inputs whose outputs are not known."""
        return sum(not pair.known for group in self.groups for pair in group.test)


def make_splits(source: TaskSource, subsets: Sequence[str], test_set: str, *, allow_overlap: bool) -> Splits:
    """Divide the tasks of `subsets`, of which `test_set` is the one to test on. Groups stand in order of subset and id.

    Records that share an id (the same task in two subsets) become one group with every pair once.

    Raises:
        UsageError: test_set is none of the subsets, or a subset is named twice.
        DatasetError: a test pair is also trained on, and allow_overlap is false.
    """
    if test_set not in subsets or len(set(subsets)) != len(subsets):
        raise UsageError(f"--test-set-name must be one of --subsets, each named once: {test_set!r} and {list(subsets)}")
    overlaps = find_overlaps(source, subsets, test_set)
    refused = [overlap for overlap in overlaps if not overlap.published]
    if refused and not allow_overlap:
        raise _refusal(source, test_set, refused)
    train: dict[str, dict[Pair, None]] = {}
    test: dict[str, dict[Pair, None]] = {}
    records = 0
    for subset in subsets:
        for task in source.subsets[subset]:
            records += 1
            held_out = task.tests if subset == test_set else ()
            # Dictionaries keep the order and each pair once.
            train.setdefault(task.id, {}).update(dict.fromkeys(task.demonstrations if held_out else task.pairs))
            test.setdefault(task.id, {}).update(dict.fromkeys(held_out))
    groups = tuple(Group(task_id, tuple(train[task_id]), tuple(test[task_id])) for task_id in train)
    return Splits(groups, tuple(overlaps), records - len(groups))


def find_overlaps(source: TaskSource, subsets: Sequence[str], test_set: str) -> list[Overlap]:
    """Every test task that another record trains on, with the first such record, in order of test task."""
    trained: dict[Hashable, list[tuple[str, str, Pair]]] = defaultdict(list)
    canonical: dict[Hashable, dict[Hashable, dict[str, str]]] = {}
    by_id: dict[str, str] = {}
    for subset in subsets:
        for task in source.subsets[subset]:
            if subset != test_set:
                by_id.setdefault(task.id, subset)
            for pair in task.demonstrations if subset == test_set else task.pairs:
                trained[_invariant(pair)].append((task.id, subset, pair))

    def partners(pair: Pair) -> dict[str, str]:
        """Return the tasks that train on a pair, up to symmetry and colours."""
        invariant = _invariant(pair)
        if invariant not in trained:
            return {}
        if invariant not in canonical:  # once for all test pairs that look alike
            canonical[invariant] = _by_canonical_key(trained[invariant])
        return canonical[invariant].get(canonical_key(pair), {})

    found = []
    for task in source.subsets[test_set]:
        others = chain.from_iterable(partners(pair).items() for pair in task.tests)
        overlap = next((Overlap(task.id, *other) for other in others if other[0] != task.id), None)
        if task.id in by_id:
            overlap = Overlap(task.id, task.id, by_id[task.id])
        if overlap is not None:
            found.append(overlap)
    return found


def _by_canonical_key(pairs: Iterable[tuple[str, str, Pair]]) -> dict[Hashable, dict[str, str]]:
    """Return for each canonical key the tasks that show it: id -> subset, in order."""
    found: dict[Hashable, dict[str, str]] = {}
    for task_id, subset, pair in pairs:
        found.setdefault(canonical_key(pair), {}).setdefault(task_id, subset)
    return found


def _invariant(pair: Pair) -> Hashable:
    """Compute what symmetries and colour changes leave alone; cheap, so that few canonical keys have to be computed."""
    return tuple(_grid_invariant(grid) for grid in pair)


def _grid_invariant(grid: TaskGrid) -> Hashable:
    counts = sorted(grid.cells.count(colour) for colour in range(1, 10))
    return (min(grid.height, grid.width), max(grid.height, grid.width), tuple(counts))


def _refusal(source: TaskSource, test_set: str, overlaps: Iterable[Overlap]) -> DatasetError:
    found = list(overlaps)
    named = ", ".join(map(str, found[:_SHOWN]))
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    subsets = ", ".join(sorted({o.subset for o in found}))
    return DatasetError(
        f"{source.name}: {len(found)} of the {len(source.subsets[test_set])} tasks of {test_set!r} are also trained on "
        f"by {subsets}: {named}{more}",
        hint=(f"leave {subsets} out of --subsets, or " if subsets != test_set else "")
        + "accept it with --allow-overlap: accuracy then says nothing",
    )
