"""Write Sudoku puzzles in the layout of the original TRM code. Tokens: 0 pad (never used), 1 blank, digit + 1."""

from __future__ import annotations

import json

import numpy as np

from trm_cli.data import counter_rng
from trm_cli.data.augmentation.drawing import Draw
from trm_cli.data.augmentation.sudoku import SudokuAugmentation
from trm_cli.data.building.build_directory import Build
from trm_cli.data.building.builder_cli import say_complete
from trm_cli.data.files.durable import write_atomically
from trm_cli.data.files.puzzle_arrays import array_path, npy_writer, one_example_each, write_split

from .generate import Puzzles
from .settings import SudokuSettings

_CHUNK_ROWS = 65_536


def write_dataset(work: Build, settings: SudokuSettings, train: Puzzles, test: Puzzles) -> None:
    """Write both splits and seal the dataset."""
    write_atomically(work.root / "identifiers.json", (json.dumps(["<blank>"]) + "\n").encode())
    names = ["identifiers.json"]
    train = with_extra_clues(train, settings.extra_clues, settings.seed)
    if settings.materialize and settings.num_aug:
        names += _write_materialized(work, settings, train)
    else:
        names += _write_plain(work, settings, "train", train, settings.augmentation if settings.num_aug else None)
    names += _write_plain(work, settings, "test", test, None)
    counts = {"train": len(train.ratings), "test": len(test.ratings)}
    work.finish(names, counts)
    say_complete(work.root, counts, "puzzles")


def with_extra_clues(data: Puzzles, most: int, seed: int) -> Puzzles:
    """Show 0 to `most` further cells of each answer, or as many as there are, every number as likely as any other.

    Ratings stay those of the puzzles without them.
    """
    if not most:
        return data
    numbers = np.arange(len(data.ratings))
    bounds = (data.puzzles == 0).sum(1).clip(max=most) + 1
    counts = counter_rng.integers(seed, "builder/sudoku/extra-clues", numbers, bounds)
    order = counter_rng.bits(seed, "builder/sudoku/extra-cells", numbers, data.puzzles.shape[1])
    order[data.puzzles > 0] = np.iinfo(np.uint64).max  # cells that are shown already come last
    shown = order.argsort(1).argsort(1) < counts[:, None]
    return data._replace(puzzles=np.where(shown, data.solutions, data.puzzles))


def _write_plain(
    work: Build, settings: SudokuSettings, split: str, data: Puzzles, augmentation: dict[str, object] | None
) -> list[str]:
    count = len(data.ratings)
    inputs, labels = data.puzzles + np.uint8(1), data.solutions + np.uint8(1)
    arrays = {"inputs": inputs, "labels": labels, **one_example_each(count), "ratings": data.ratings}
    return write_split(work.root, split, settings.metadata(count, count, augmentation), arrays)


def _write_materialized(work: Build, settings: SudokuSettings, data: Puzzles) -> list[str]:
    """Store each training puzzle followed by its augmentations: exactly those that would be drawn on the fly."""
    groups, per_group = len(data.ratings), settings.num_aug + 1
    augmentation = SudokuAugmentation(settings.augmentation, seq_len=settings.side**2)
    inputs, labels = data.puzzles + np.uint8(1), data.solutions + np.uint8(1)
    shape = (groups * per_group, settings.side**2)
    (work.root / "train").mkdir(exist_ok=True)
    with (
        npy_writer(array_path(work.root, "train", "inputs"), shape, np.uint8) as input_file,
        npy_writer(array_path(work.root, "train", "labels"), shape, np.uint8) as label_file,
    ):
        for start in range(0, shape[0], _CHUNK_ROWS):
            puzzles, variants = np.divmod(np.arange(start, min(start + _CHUNK_ROWS, shape[0])), per_group)
            identifiers = np.zeros_like(puzzles)
            draw = Draw(inputs[puzzles], labels[puzzles], identifiers, puzzles, puzzles, variants, 0, None, 0)
            more_inputs, more_labels, _ = augmentation.apply(draw)
            input_file.append(more_inputs)
            label_file.append(more_labels)
    arrays = {**one_example_each(groups, per_group), "ratings": np.repeat(data.ratings, per_group)}
    metadata = settings.metadata(groups, shape[0])
    return write_split(work.root, "train", metadata, arrays, written=("inputs", "labels"))
