"""Generate mazes in parts that survive a kill, and write mazes in the layout of the original code.

Maze i of a split is a function of (seed, split, i) and the flags; a split is the first N of them that differ from all
symmetries of those before. Which worker made which part, and when, cannot change that.
"""

from __future__ import annotations

import json
from functools import partial

import numpy as np

from trm_cli.data import counter_rng, dihedral
from trm_cli.data.augmentation.maze import symmetry_cells, transform
from trm_cli.data.building.build_directory import Build
from trm_cli.data.building.builder_cli import Progress, say_complete
from trm_cli.data.files.durable import write_atomically
from trm_cli.data.files.puzzle_arrays import array_path, npy_writer, one_example_each, write_split
from trm_cli.errors import DatasetError

from ..build_parts import Arrays, Range, complete_ranges
from . import engine
from .settings import MazeSettings, maze_metadata
from .source import Mazes

PART_SIZE = 256
ATTEMPTS = 20_000
_DRAWS_PER_MAZE = 20
_CHUNK_MAZES = 4096


def generate_dataset(work: Build, settings: MazeSettings, workers: int) -> None:
    """Generate both splits, write them and seal the dataset; a shard makes its parts of them. Raises DatasetError."""
    counts = {"train": settings.train or 0, "test": settings.test or 0}
    progress = Progress(sum(counts.values()), "mazes")
    if work.shard is not None:
        for split, count in counts.items():
            _make_parts(work, settings, split, (0, count), workers, progress)
        work.end_shard()
        return
    made = {split: _generate_split(work, settings, split, count, workers, progress) for split, count in counts.items()}
    write_dataset(work, settings, made["train"], made["test"])


def _generate_split(
    work: Build, settings: MazeSettings, split: str, count: int, workers: int, progress: Progress
) -> Mazes:
    parts: list[Arrays] = []
    drawn = 0
    while True:
        # As many as are missing, and where that was not enough at least a part more.
        wanted = max(count - drawn, PART_SIZE if drawn else 0)
        parts += _make_parts(work, settings, split, (drawn, drawn + wanted), workers, progress)
        drawn += wanted
        mazes = np.concatenate([part["mazes"] for part in parts]).astype(np.uint8)
        _, first = np.unique(np.concatenate([part["hashes"] for part in parts]), return_index=True)
        kept = np.sort(first)[:count]
        if len(kept) == count:
            labels = np.concatenate([part["labels"] for part in parts]).astype(np.uint8)
            return mazes[kept], labels[kept]
        if drawn > _DRAWS_PER_MAZE * count + 10_000:
            raise DatasetError(
                f"{count} different {split} mazes were asked for, but {drawn} draws gave only {len(kept)}",
                hint=f"ask for at most {len(kept)}, or for a larger --size",
            )


def _make_parts(
    work: Build, settings: MazeSettings, split: str, candidates: Range, workers: int, progress: Progress
) -> list[Arrays]:
    make = partial(_make_part, settings, split)
    return complete_ranges(work, split, candidates, PART_SIZE, make, workers, progress)


def _make_part(settings: MazeSettings, split: str, item: Range) -> Arrays:
    keys = counter_rng.keys(settings.seed, f"builder/maze/{split}", np.arange(*item))
    mazes, labels, made = engine.generate(
        keys,
        settings.side,
        min_path=settings.min_path,
        loops=settings.loops,
        unique=settings.unique,
        for_test=split == "test",
        attempts=ATTEMPTS,
    )
    if not made.all():
        one = "exactly one" if settings.unique else "a"
        raise DatasetError(
            f"no {settings.side}x{settings.side} maze with {one} shortest path of more than {settings.min_path} steps "
            f"was found in {ATTEMPTS:,} attempts",
            hint="lower --min-path or --loops, or raise --size",
        )
    return {"mazes": mazes, "labels": labels, "hashes": engine.class_hashes(mazes)}


# ---------------------------------------------------------------- writing


def write_dataset(work: Build, settings: MazeSettings, train: Mazes, test: Mazes) -> None:
    """Write both splits and seal the dataset."""
    write_atomically(work.root / "identifiers.json", (json.dumps(["<blank>"]) + "\n").encode())
    names = ["identifiers.json"]
    if settings.materialize:
        names += _write_symmetries(work, settings, train)
    else:
        augmentation = {"kind": "maze", "count": settings.num_aug} if settings.num_aug else None
        names += _write_plain(work, "train", train, augmentation)
    names += _write_plain(work, "test", test, None)
    counts = {"train": len(train[0]), "test": len(test[0])}
    work.finish(names, counts)
    say_complete(work.root, counts, "mazes")


def _write_plain(work: Build, split: str, mazes: Mazes, augmentation: dict[str, object] | None) -> list[str]:
    count = len(mazes[0])
    arrays = {"inputs": mazes[0], "labels": mazes[1], **one_example_each(count)}
    return write_split(work.root, split, maze_metadata(mazes[0].shape[1], count, count, augmentation), arrays)


def _write_symmetries(work: Build, settings: MazeSettings, mazes: Mazes) -> list[str]:
    """Store every maze followed by its symmetries: exactly what would be made while drawing."""
    groups, seq_len = mazes[0].shape
    per_group = 1 + settings.num_aug
    if per_group > dihedral.COUNT:
        raise ValueError(f"a square has {dihedral.COUNT} symmetries, not {per_group}")
    cells, variants = symmetry_cells(seq_len), np.arange(per_group)
    (work.root / "train").mkdir(exist_ok=True)
    for name, rows in zip(("inputs", "labels"), mazes, strict=True):
        with npy_writer(array_path(work.root, "train", name), (groups * per_group, seq_len), np.uint8) as writer:
            for start in range(0, groups, _CHUNK_MAZES):
                chunk = rows[start : start + _CHUNK_MAZES]
                writer.append(transform(np.repeat(chunk, per_group, axis=0), cells, np.tile(variants, len(chunk))))
    metadata = maze_metadata(seq_len, groups, groups * per_group)
    arrays = one_example_each(groups, per_group)
    return write_split(work.root, "train", metadata, arrays, written=("inputs", "labels"))
