"""Plan an ARC build: count what it will write. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from trm_cli.data.arc.layout import PAD, SIDE, VOCAB_SIZE
from trm_cli.data.building.builder_cli import plan_document
from trm_cli.data.files.metadata import SPLITS, DatasetMetadata

from .splits import Group, Splits
from .symmetry import TaskSymmetry, task_symmetry
from .tasks import Pair


@dataclass(frozen=True)
class ArcPlan:
    """The plan of an ARC build, made before anything is written.

    symmetries and counts are per group; a count includes the task itself. firsts are the identifiers of the tasks.
    side: of the canvas. apart: each pair of the training split is a group of its own.
    """

    groups: tuple[Group, ...]
    symmetries: tuple[TaskSymmetry, ...]
    counts: tuple[int, ...]
    materialize: bool
    side: int = SIDE
    apart: bool = False

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
        return [index for index in range(len(self.groups)) if self.pairs_of(index, split)]

    def pairs_of(self, index: int, split: str) -> tuple[Pair, ...]:
        """The pairs that a group has in a split."""
        group = self.groups[index]
        return group.train if split == "train" else group.test

    def metadata(self, split: str, augmentation: dict[str, object] | None = None) -> DatasetMetadata:
        """The metadata of a split; its mean_puzzle_examples are pairs per group: what an epoch visits."""
        members = self.members(split)
        pairs = sum(len(self.pairs_of(index, split)) for index in members)
        groups = pairs if self.apart and split == "train" else len(members)
        return DatasetMetadata(
            pad_id=PAD,
            ignore_label_id=PAD,
            vocab_size=VOCAB_SIZE,
            seq_len=self.side**2,
            num_puzzle_identifiers=self.identifiers,
            total_groups=groups,
            mean_puzzle_examples=pairs / groups,
            total_puzzles=sum(self.counts[index] for index in members) if self.materialize else groups,
            kind="arc",
            augmentation=augmentation,
        )

    def to_json(self) -> dict[str, object]:
        """The answer to --plan."""
        return plan_document({split: self.metadata(split) for split in SPLITS})


def make_plan(splits: Splits, num_aug: int, limit: int | None, materialize: bool, side: int, apart: bool) -> ArcPlan:
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
    return ArcPlan(tuple(kept), symmetries, counts, materialize, side, apart)
