"""Plan an ARC build: count what it will write. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from trm_cli.data.arc.layout import SEQ_LEN, VOCAB_SIZE
from trm_cli.data.building.builder_cli import split_facts

from .splits import Group, Splits
from .symmetry import TaskSymmetry, task_symmetry


@dataclass(frozen=True)
class ArcPlan:
    """What a build will write, known before anything is written.

    symmetries and counts are per group; a count includes the task itself. firsts are the identifiers of the tasks.
    """

    groups: tuple[Group, ...]
    symmetries: tuple[TaskSymmetry, ...]
    counts: tuple[int, ...]
    materialize: bool

    @cached_property
    def firsts(self) -> tuple[int, ...]:
        """The identifier of every task; its augmentations follow it. 0 is the blank identifier."""
        return tuple(accumulate(self.counts, initial=1))[:-1]

    @property
    def identifiers(self) -> int:
        """Number of identifiers, the blank one included."""
        return 1 + sum(self.counts)

    def members(self, split: str) -> list[int]:
        """The groups that have pairs in a split, in order."""
        return [index for index, group in enumerate(self.groups) if self.pairs_of(index, split)]

    def pairs_of(self, index: int, split: str) -> int:
        """How many pairs a group has in a split."""
        group = self.groups[index]
        return len(group.train if split == "train" else group.test)

    def facts(self, split: str) -> dict[str, float]:
        """total_groups, mean_puzzle_examples (pairs per group: what an epoch visits) and total_puzzles of a split."""
        members = self.members(split)
        pairs = sum(self.pairs_of(index, split) for index in members)
        puzzles = sum(self.counts[index] for index in members) if self.materialize else len(members)
        return split_facts(len(members), pairs / len(members), puzzles)

    def to_json(self) -> dict[str, object]:
        """The answer to --plan."""
        return {
            "train": self.facts("train"),
            "test": self.facts("test"),
            "seq_len": SEQ_LEN,
            "vocab_size": VOCAB_SIZE,
            "num_puzzle_identifiers": self.identifiers,
        }


def make_plan(splits: Splits, num_aug: int, limit: int | None, materialize: bool) -> ArcPlan:
    """Count the requested tasks: the first `limit` tasks that only train and the first `limit` that test."""
    kept: list[Group] = []
    seen = {False: 0, True: 0}
    for group in splits.groups:
        tests = bool(group.test)
        seen[tests] += 1
        if limit is None or seen[tests] <= limit:
            kept.append(group)
    symmetries = tuple(task_symmetry(group.task) for group in kept)
    counts = tuple(min(num_aug + 1, symmetry.distinct) for symmetry in symmetries)
    return ArcPlan(tuple(kept), symmetries, counts, materialize)
