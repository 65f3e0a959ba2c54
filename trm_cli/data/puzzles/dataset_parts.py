"""Number the groups, puzzles and examples of several datasets as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trm_cli.data.augmentation.drawing import Augmentation
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.files.puzzle_arrays import PuzzleArrays, read_puzzle_arrays
from trm_cli.data.puzzles.epoch_order import GroupTable, Index
from trm_cli.data.puzzles.kinds import create_augmentation
from trm_cli.errors import DatasetError


@dataclass(frozen=True)
class DatasetPart:
    """One set of one dataset: its arrays, where its puzzles and examples stand in the common numbering."""

    arrays: PuzzleArrays
    augmentation: Augmentation | None
    variants: Index  # [puzzles] evaluations per stored puzzle; training choices where augmented on the fly
    first_puzzle: int
    first_example: int
    identifier_offset: int


def open_part(
    path: str | Path, split: str, set_name: str, metadata: DatasetMetadata, offset: int, before: DatasetPart | None
) -> DatasetPart:
    """Open one set of a dataset, which follows the set `before`. Raises DatasetError."""
    arrays = read_puzzle_arrays(path, split, set_name, metadata)
    augmentation = None
    variants = np.ones(arrays.puzzles, dtype=np.int64)
    if metadata.augmentation is not None:
        augmentation = create_augmentation(metadata.augmentation, seq_len=metadata.seq_len, where=arrays.where)
        variants = augmentation.variant_counts(arrays.puzzles)
        if arrays.groups != arrays.puzzles:
            raise DatasetError(f"{arrays.where}: puzzles augmented on the fly must be stored one per group")
    return DatasetPart(
        arrays=arrays,
        augmentation=augmentation,
        variants=variants,
        first_puzzle=0 if before is None else before.first_puzzle + before.arrays.puzzles,
        first_example=0 if before is None else before.first_example + len(before.arrays.inputs),
        identifier_offset=offset,
    )


def group_table(parts: Sequence[DatasetPart]) -> GroupTable:
    """All groups of the parts, in order."""
    first, choices, stored, starts = [], [], [], [np.zeros(1, np.int64)]
    for part in parts:
        arrays = part.arrays
        first.append(arrays.group_indices[:-1] + part.first_puzzle)
        on_the_fly = part.augmentation is not None
        choices.append(part.variants if on_the_fly else np.diff(arrays.group_indices))
        stored.append(np.full(arrays.groups, not on_the_fly))
        starts.append(arrays.puzzle_indices[1:] + part.first_example)
    return GroupTable(np.concatenate(first), np.concatenate(choices), np.concatenate(stored), np.concatenate(starts))
