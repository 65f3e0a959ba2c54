"""Build a Sudoku dataset: generated from a seed, or read from CSV files or the hub.

`python -m dataset_builders.sudoku --help` lists the flags. No training puzzle is a symmetry of a test puzzle.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trm_cli.data.building.build_directory import Build, open_build
from trm_cli.data.building.build_shards import add_shard_flags
from trm_cli.data.building.builder_cli import (
    Progress,
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
from .lib.limits import Limits, say_limits
from .lib.sudoku.settings import NO_LIMIT, SudokuSettings

BUILDER_VERSION = 1
_DEFAULT_COUNT = 1000
_DEFAULT_CLUES = {4: 6, 6: 12}  # by side; larger boards: see _clue_range


def rating(text: str) -> float:
    """Read a flag's rating: a number of at least 0, which a source may have with a fraction."""
    value = float(text)
    if not 0 <= value < NO_LIMIT:
        raise argparse.ArgumentTypeError(f"must be at least 0, found {text}")
    return int(value) if value.is_integer() else value


def parser() -> argparse.ArgumentParser:
    """Return the flags of this builder."""
    result = common_parser(
        __package__, "sudoku", "Build a Sudoku dataset.", "--output-dir datasets/sudoku --box 3 3 --train 1000"
    )
    add = result.add_argument
    add(
        "--box",
        type=positive,
        nargs=2,
        default=[3, 3],
        metavar=("R", "C"),
        help="rows and columns of a box (default 3 3)",
    )
    add("--train", "--subsample-size", type=positive, dest="train", metavar="N",
        help="training puzzles before augmentation; default 1000 when generated, otherwise all")  # fmt: skip
    add("--test", type=positive, metavar="N", help="test puzzles; default 1000 when generated, otherwise all")
    add("--clues", metavar="N|minimal", help="clues of generated puzzles; minimal: none could be left out "
        "(default 6 on 4x4, 12 on 6x6, minimal on 9x9, half the cells on larger boards)")  # fmt: skip
    add("--min-clues", type=positive, metavar="N", help="with --max-clues, instead of --clues")
    add("--max-clues", type=positive, metavar="N", help="with --min-clues, instead of --clues")
    add("--min-difficulty", type=rating, metavar="N", help="least rating: guesses that the solver needs")
    add("--max-difficulty", type=rating, metavar="N", help="highest rating")
    add(
        "--num-aug",
        type=not_negative,
        default=1000,
        metavar="N",
        help="augmentations of each training puzzle (default 1000)",
    )
    add("--extra-clues", type=not_negative, default=0, metavar="N",
        help="training puzzles show 0 to N further cells of their answer, so that hard ones are learnt by way of easy "
        "ones; test puzzles stay as they are (default 0)")  # fmt: skip
    add("--source", default="generate", metavar="generate|PATH|hub:REPO",
        help="a CSV file with the columns question, answer and perhaps rating (split by symmetry class), a directory "
        "with train.csv and test.csv, or a hub dataset; answers are checked, that no other exists is taken on trust "
        "(default: generate)")  # fmt: skip
    add_columns_flag(result)
    add("--unique", action="store_true", help="leave out training puzzles of a source that repeat another")
    add("--materialize", action="store_true", help="store the augmentations instead of drawing them while training")
    add_shard_flags(result)
    return result


def settings_from(options: argparse.Namespace) -> SudokuSettings:
    """Check the flags against each other. Raises UsageError."""
    rows, columns = options.box
    side = rows * columns
    if not 2 <= side <= 16:
        raise UsageError(f"--box {rows} {columns} makes {side} digits, expected 2 to 16")
    generated = options.source == "generate"
    difficulty = (options.min_difficulty or 0, NO_LIMIT if options.max_difficulty is None else options.max_difficulty)
    if difficulty[0] > difficulty[1]:
        raise UsageError(f"--min-difficulty {difficulty[0]} is above --max-difficulty {difficulty[1]}")
    if options.extra_clues > side**2:
        raise UsageError(f"--extra-clues {options.extra_clues}: a board has {side**2} cells")
    train, test = split_counts(options, _DEFAULT_COUNT if generated else None)
    return SudokuSettings(
        box=(rows, columns),
        train=train,
        test=test,
        clues=_clue_range(options, side) if generated else (0, 0),
        difficulty=difficulty,
        extra_clues=options.extra_clues,
        num_aug=options.num_aug,
        materialize=options.materialize,
        seed=options.seed,
        source=options.source,
        columns=column_names(options.columns),
        unique=options.unique,
    )


def _clue_range(options: argparse.Namespace, side: int) -> tuple[int, int]:
    cells = side * side
    least, most = options.min_clues, options.max_clues
    if (least is None) != (most is None):
        raise UsageError("--min-clues and --max-clues belong together")
    if least is not None and options.clues is not None:
        raise UsageError("--clues excludes --min-clues and --max-clues")
    if least is None:
        text = options.clues or str(_DEFAULT_CLUES.get(side, "minimal" if side <= 9 else cells // 2))
        if text == "minimal":
            return (0, 0)
        if not text.isdecimal() or int(text) < 1:
            raise UsageError(f"--clues must be a number of cells or 'minimal', found {text!r}")
        least = most = int(text)
    if not least <= most <= cells:
        raise UsageError(f"a board of {cells} cells cannot have {least} to {most} clues")
    return least, most


def plan_of(settings: SudokuSettings) -> dict[str, object]:
    """Return the plan of the build. Raises UsageError where the source would have to be read for it."""
    if settings.train is None or settings.test is None:
        raise UsageError("how many puzzles this source holds is not known before it is read: name --train and --test")
    stored = 1 + settings.num_aug if settings.materialize else 1
    train = settings.metadata(settings.train, settings.train * stored)
    return plan_document({"train": train, "test": settings.metadata(settings.test, settings.test)})


def manifest_of(settings: SudokuSettings, source: dict[str, object], licence: str) -> Manifest:
    """Return the manifest of the unfinished build: everything that decides its bytes."""
    flags: dict[str, object] = {
        "box": list(settings.box),
        "train": settings.train,
        "test": settings.test,
        "clues": "minimal" if settings.clues == (0, 0) else list(settings.clues),
        "min_difficulty": settings.difficulty[0],
        "max_difficulty": None if settings.difficulty[1] == NO_LIMIT else settings.difficulty[1],
        "num_aug": settings.num_aug,
        "materialize": settings.materialize,
        **({"extra_clues": settings.extra_clues} if settings.extra_clues else {}),
        **({"columns": dict(settings.columns)} if settings.columns else {}),
        **({"unique": True} if settings.unique else {}),
    }
    planned = {} if settings.train is None or settings.test is None else plan_of(settings)
    return Manifest(
        builder="sudoku",
        builder_version=BUILDER_VERSION,
        flags=flags,
        seed=settings.seed,
        source=source,
        licence=licence,
        planned=planned,
    )


def build(options: argparse.Namespace) -> None:
    """Build the dataset that the flags describe."""
    settings = settings_from(options)
    if options.plan:
        print_plan(plan_of(settings))
        return
    # Here, not at the top: --plan and --help need none of what these import.
    from .lib.sudoku import source as sudoku_source
    from .lib.sudoku import writing

    root: Path = options.output_dir
    if settings.source == "generate":
        manifest = manifest_of(settings, {"kind": "generated"}, "generated, no third-party data")
        with open_build(root, manifest, rebuild=options.rebuild, shard=options.shard, merge=options.merge) as work:
            if not work.complete:
                _generate(work, settings, options.workers)
        return
    if options.shard:
        say_nothing_to_share(root)
        return
    source = sudoku_source.find_source(settings.source, settings.columns)
    manifest = manifest_of(settings, source.describe(), source.licence)
    with open_build(root, manifest, rebuild=options.rebuild) as work:
        if not work.complete:
            limits = Limits()
            train, test = sudoku_source.read_source(source, settings, limits)
            work.manifest = replace(work.manifest, planned={**work.manifest.planned, **limits.planned()})
        say_limits(work.manifest)
        if not work.complete:
            writing.write_dataset(work, settings, train, test)


def _generate(work: Build, settings: SudokuSettings, workers: int) -> None:
    from .lib.sudoku import generate, writing

    counts = {"test": settings.test or 0, "train": settings.train or 0}
    progress = Progress(sum(counts.values()), "puzzles")
    if work.shard is not None:
        for split, count in counts.items():
            generate.make_parts(work, settings, split, (0, count), workers, progress)
        work.end_shard()
        return
    made = {
        split: generate.generate_split(work, settings, split, count, workers, progress)
        for split, count in counts.items()
    }
    writing.write_dataset(work, settings, made["train"], made["test"])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the builder and return its exit code."""
    return run_builder(parser(), build, argv)


if __name__ == "__main__":
    sys.exit(main())
