"""Number the groups, puzzles and examples of several datasets as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data import counter_rng
from trm_cli.data.augmentation.drawing import Augmentation
from trm_cli.data.files.metadata import IGNORED_LABEL, DatasetMetadata
from trm_cli.data.files.puzzle_arrays import PuzzleArrays, check_tokens, read_puzzle_arrays
from trm_cli.data.puzzles.epoch_order import GroupTable, Index
from trm_cli.data.puzzles.kinds import create_augmentation
from trm_cli.errors import REBUILD, DatasetError


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
    ignored = {IGNORED_LABEL} if metadata.ignore_label_id is None else {IGNORED_LABEL, metadata.ignore_label_id}
    check_tokens(arrays, tokens=metadata.vocab_size, ignored=ignored)
    augmentation = None
    variants = np.ones(arrays.puzzles, dtype=np.int64)
    if metadata.augmentation is not None:
        augmentation = create_augmentation(metadata.augmentation, seq_len=metadata.seq_len, where=arrays.where)
        variants = augmentation.variant_counts(arrays.puzzles)
        _check_augmentation(augmentation, variants, arrays, metadata)
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


def _check_augmentation(
    augmentation: Augmentation, variants: Index, arrays: PuzzleArrays, metadata: DatasetMetadata
) -> None:
    """Raise DatasetError where an augmentation would read beside its tables."""
    where, most = arrays.where, counter_rng.LARGEST_BOUND
    if not 1 <= variants.min() <= variants.max() <= most:
        raise DatasetError(f"{where}: puzzles have {variants.min()}..{variants.max()} augmentations, not 1..{most}")
    if augmentation.tokens is not None:
        check_tokens(arrays, tokens=augmentation.tokens, ignored=())
    known = augmentation.identifiers
    if known is not None and known != metadata.num_puzzle_identifiers:
        raise DatasetError(
            f"{where}: dataset.json says num_puzzle_identifiers {metadata.num_puzzle_identifiers}, the augmentations "
            f"are of {known}",
            hint=REBUILD,
        )


def counted_metadata(metadata: DatasetMetadata, parts: Sequence[DatasetPart], where: str) -> DatasetMetadata:
    """The metadata of a split with what its arrays hold. Raises DatasetError where the two contradict each other.

    total_puzzles is counted where `dataset.json` does not say it, as the builders of HRM do not.
    """
    examples = sum(len(part.arrays.inputs) for part in parts)
    puzzles = sum(part.arrays.puzzles for part in parts)
    groups = sum(part.arrays.groups for part in parts)
    for key, counted in (("total_groups", groups), ("total_puzzles", puzzles)):
        stated = getattr(metadata, key)
        if stated not in (counted, 0):
            raise _contradicted(where, key, stated, counted)
    # Of all puzzles, as the original builders count; or of one puzzle a group, which is what an epoch sees.
    per_epoch = sum(float(np.mean(_group_means(part.arrays))) * part.arrays.groups for part in parts) / groups
    stated_mean = metadata.mean_puzzle_examples
    if not any(math.isclose(stated_mean, counted, rel_tol=1e-6) for counted in (examples / puzzles, per_epoch)):
        raise _contradicted(where, "mean_puzzle_examples", stated_mean, f"{examples / puzzles:g}")
    return replace(metadata, total_puzzles=puzzles)


def _group_means(arrays: PuzzleArrays) -> NDArray[np.float64]:
    """Examples per puzzle of each group [groups]."""
    examples = np.diff(arrays.puzzle_indices[arrays.group_indices])
    return np.asarray(examples / np.diff(arrays.group_indices), dtype=np.float64)


def _contradicted(where: str, key: str, stated: object, counted: object) -> DatasetError:
    return DatasetError(
        f"{where}: dataset.json says {key} {stated}, the arrays hold {counted}",
        hint=f"correct {key} there, or {REBUILD}",
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
