"""Build a maze dataset: generated from a seed, or read from CSV files or the hub in Maze-Hard's layout.

`python -m dataset_builders.maze --help` lists the flags. No training maze is a symmetry of a test maze.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from trm_cli.data import dihedral
from trm_cli.data.building.build_directory import open_build
from trm_cli.data.building.build_shards import add_shard_flags
from trm_cli.data.building.builder_cli import (
    common_parser,
    not_negative,
    plan_document,
    positive,
    print_plan,
    run_builder,
    say_nothing_to_share,
    split_counts,
)
from trm_cli.data.files.manifest import Manifest
from trm_cli.errors import UsageError

from .lib.csv_rows import add_columns_flag, column_names
from .lib.limits import say_limits
from .lib.maze.settings import MazeSettings, maze_metadata

BUILDER_VERSION = 1
GENERATE = "generate"
_DEFAULT_COUNT = 1000
_MAX_SIDE = 64


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of this builder."""
    parser = common_parser(
        __package__, "maze", "Build a maze dataset.", "--output-dir datasets/maze --train 1000 --min-path 110"
    )
    add = parser.add_argument
    add("--size", type=positive, default=30, metavar="N", help="rows and columns of generated mazes")
    add("--train", type=positive, metavar="N", help="training mazes; default 1000 generated, otherwise all")
    add("--test", type=positive, metavar="N", help="test mazes; default 1000 generated, otherwise all")
    add("--min-path", type=not_negative, metavar="N",
        help="the shortest path takes more steps than this; default 110 at size 30, else by area")  # fmt: skip
    add("--unique-path", action="store_true", help="only mazes with exactly one shortest path")
    add("--loops", type=not_negative, default=10, metavar="N", help="openings beyond a maze without loops, at most")
    add("--num-aug", type=int, choices=range(dihedral.COUNT), default=dihedral.COUNT - 1, metavar="0..7",
        help="symmetries of each training maze besides itself, made while batches are drawn")  # fmt: skip
    add("--source", default=GENERATE, metavar="generate|PATH|hub:REPO",
        help="a directory with train.csv and test.csv (columns question, answer) or a hub dataset, such as "
        "hub:sapientinc/maze-30x30-hard-1k")  # fmt: skip
    add_columns_flag(parser)
    add("--materialize", action="store_true", help="store the symmetries instead of making them while training")
    add_shard_flags(parser)
    return parser


def settings_from(options: argparse.Namespace) -> MazeSettings:
    """Check the flags against each other. Raises UsageError."""
    side: int = options.size
    if not 2 <= side <= _MAX_SIDE:
        raise UsageError(f"--size must be 2 to {_MAX_SIDE}, found {side}")
    min_path = options.min_path if options.min_path is not None else side * side * 11 // 90
    if min_path >= side * side - 1:
        raise UsageError(f"no maze of {side}x{side} has a path of more than {min_path} steps")
    train, test = split_counts(options, _DEFAULT_COUNT if options.source == GENERATE else None)
    return MazeSettings(
        side=side,
        train=train,
        test=test,
        min_path=min_path,
        unique=options.unique_path,
        loops=options.loops,
        num_aug=options.num_aug,
        materialize=options.materialize and options.num_aug > 0,
        seed=options.seed,
        source=options.source,
    )


def plan_of(side: int, train: int, test: int, settings: MazeSettings) -> dict[str, object]:
    """Return the answer to --plan."""
    stored = 1 + settings.num_aug if settings.materialize else 1
    described = {"train": maze_metadata(side**2, train, train * stored), "test": maze_metadata(side**2, test, test)}
    return plan_document(described)


def build(options: argparse.Namespace) -> None:
    """Build the dataset that the flags describe. Raises DatasetError and UsageError."""
    settings = settings_from(options)
    flags: dict[str, object] = {"num_aug": settings.num_aug, "materialize": settings.materialize}
    flags |= {"train": settings.train, "test": settings.test}
    if settings.source == GENERATE and settings.train is not None and settings.test is not None:
        plan = plan_of(settings.side, settings.train, settings.test, settings)
        if options.plan:
            print_plan(plan)
            return
        flags |= {"size": settings.side, "min_path": settings.min_path, "unique_path": settings.unique}
        flags["loops"] = settings.loops
        manifest = _manifest(flags, settings, {"kind": "generated"}, "generated, no third-party data", plan)
        with open_build(
            options.output_dir, manifest, rebuild=options.rebuild, shard=options.shard, merge=options.merge
        ) as work:
            if not work.complete:
                # Here, not at the top: --plan and --help need none of what these import.
                from .lib.maze.writing import generate_dataset

                generate_dataset(work, settings, options.workers)
        return
    if options.shard and not options.plan:
        say_nothing_to_share(options.output_dir)
        return
    from .lib.maze.source import read_source
    from .lib.maze.writing import write_dataset

    # Read before the directory is touched: a plan needs the counts, and a damaged file should leave nothing behind.
    columns = column_names(options.columns)
    if columns:
        flags["columns"] = columns
    mazes = read_source(settings.source, settings.train, settings.test, columns)
    plan = plan_of(mazes.side, len(mazes.train[0]), len(mazes.test[0]), settings)
    if options.plan:
        print_plan({**plan, **mazes.limits.planned()})
        return
    if mazes.dropped:
        print(f"{mazes.dropped} training mazes are symmetries of a test maze and were left out", file=sys.stderr)
    planned = {**plan, "dropped_training_mazes": mazes.dropped, **mazes.limits.planned()}
    manifest = _manifest(flags, settings, mazes.description, mazes.licence, planned)
    say_limits(manifest)
    with open_build(options.output_dir, manifest, rebuild=options.rebuild) as work:
        if not work.complete:
            write_dataset(work, settings, mazes.train, mazes.test)


def _manifest(
    flags: dict[str, object], settings: MazeSettings, source: dict[str, object], licence: str, plan: dict[str, object]
) -> Manifest:
    return Manifest(
        builder="maze",
        builder_version=BUILDER_VERSION,
        flags=flags,
        seed=settings.seed,
        source=source,
        licence=licence,
        planned=plan,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the builder and return its exit code."""
    return run_builder(make_parser(), build, argv)


if __name__ == "__main__":
    sys.exit(main())
