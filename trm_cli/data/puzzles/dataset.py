"""Draw batches of puzzles, each a pure function of (seed, update).

Nothing is iterated, so there is no position to save: update 70,000 is computed without the 69,999 before it, and n
processes that ask for their rows of a batch get exactly the rows of the one process that asks for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.augmentation.drawing import Draw
from trm_cli.data.files.array_file import read_array
from trm_cli.data.files.manifest import check_complete, check_contents, read_manifest, split_fingerprint
from trm_cli.data.files.metadata import IGNORED_LABEL, DatasetFacts, DatasetMetadata, combine_metadata, read_metadata
from trm_cli.data.files.puzzle_arrays import array_path
from trm_cli.data.puzzles.dataset_parts import DatasetPart, counted_metadata, group_table, open_part
from trm_cli.data.puzzles.epoch_order import EpochOrder, Index, Rows
from trm_cli.errors import DatasetError

Batch = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class BatchOrder:
    """Settings that, with the seed, decide which examples an update sees.

    per_epoch: an epoch is steps_per_epoch whole batches, what is left over is dropped. whole_run: the epochs follow
    each other without a gap and are cut into batches, steps_per_epoch is not used.
    """

    batch_size: int
    steps_per_epoch: int
    rounding: Literal["per_epoch", "whole_run"] = "per_epoch"


def open_dataset(paths: Sequence[str | Path], split: str, *, verify: bool = True) -> PuzzleDataset:
    """Open one or more datasets as one. Raises DatasetError naming the file that is missing, damaged or does not fit.

    verify: compare the content of every file with the manifest, where there is one.

    With several paths the groups follow each other in the given order and share the blank identifier 0; the others of
    path p are moved up by the number of non-blank identifiers before it, so that each puzzle keeps its own embedding.
    """
    if isinstance(paths, str | Path):
        raise TypeError("paths must be a sequence of paths, not one path")
    if not paths:
        raise DatasetError("no dataset is named", hint="set data_paths")
    described: list[DatasetMetadata] = []
    fingerprints: list[str] = []
    for path in paths:
        # First: a dataset whose build was interrupted may have files that look complete.
        manifest = read_manifest(path)
        if manifest is not None:
            check_complete(path, manifest)
            if verify:
                check_contents(path, split, manifest)
        described.append(read_metadata(path, split))
        fingerprints.append(split_fingerprint(path, split, manifest))
    combine_metadata(described, [str(path) for path in paths])  # before the arrays are read, which may be large
    parts: list[DatasetPart] = []
    counted: list[DatasetMetadata] = []
    offset = 0
    for path, own in zip(paths, described, strict=True):
        for set_name in own.sets:
            parts.append(open_part(path, split, set_name, own, offset, parts[-1] if parts else None))
        counted.append(counted_metadata(own, parts[-len(own.sets) :], str(Path(path) / split)))
        offset += own.num_puzzle_identifiers - 1
    metadata = combine_metadata(counted, [str(path) for path in paths])
    notes = [
        f"{Path(path) / split}: dataset.json does not state total_puzzles; the arrays hold {found.total_puzzles:,}"
        for path, own, found in zip(paths, described, counted, strict=True)
        if not own.total_puzzles
    ]
    return PuzzleDataset(metadata, parts, paths, split, fingerprints, notes)


class PuzzleDataset:
    """One split of one or more datasets. All methods are pure functions of their arguments."""

    def __init__(
        self,
        metadata: DatasetMetadata,
        parts: Sequence[DatasetPart],
        paths: Sequence[str | Path],
        split: str,
        fingerprints: Sequence[str],
        notes: Sequence[str] = (),
    ) -> None:
        """notes: what a person should know about this data before training on it."""
        self.metadata = metadata
        self.split = split
        self.paths = tuple(str(path) for path in paths)
        self.notes = list(notes)
        self.facts = DatasetFacts(metadata.total_groups, metadata.mean_puzzle_examples, ", ".join(self.paths))
        self.fingerprint = fingerprints[0] if len(fingerprints) == 1 else "+".join(fingerprints)
        self._parts = tuple(parts)
        self._first_examples = np.array([part.first_example for part in parts])
        self._table = group_table(self._parts)
        self._variants = np.concatenate([part.variants for part in parts])  # [puzzles]
        sizes = np.diff(self._table.puzzle_start) * self._variants
        self._eval_starts = np.concatenate([[0], np.cumsum(sizes)])  # [puzzles + 1] offsets of evaluated rows
        self._order = lru_cache(maxsize=2)(self._new_order)

    # ------------------------------------------------------------ training

    def _new_order(self, seed: int, resting: tuple[int, ...]) -> EpochOrder:
        return EpochOrder(self._table.without(resting) if resting else self._table, seed)

    def train_batch(
        self, step: int, order: BatchOrder, seed: int, rows: slice | None = None, resting: tuple[int, ...] = ()
    ) -> Batch:
        """Return the batch of update `step` (1, 2, ...): inputs [B, S], labels [B, S], puzzle_identifiers [B], int32.

        `rows` selects a contiguous part of the global batch, so that a rank draws only what it needs. resting: groups
        that are not drawn; the others take their places.
        """
        if step < 1:
            raise ValueError(f"updates are counted from 1, got {step}")
        start, stop, stride = (rows or slice(None)).indices(order.batch_size)
        if stride != 1:
            raise ValueError("rows must be contiguous")
        drawn = []
        for epoch, first, last in self._places(step, order, start, stop):
            for lap, segment in self._order(seed, resting).segments(epoch, first, last):
                drawn.append(self._gather(segment, seed, epoch, lap))
        return _join(drawn)

    def _places(self, step: int, order: BatchOrder, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yield (epoch, first, last) for rows start..stop-1 of an update: places first..last-1 of that epoch."""
        if order.rounding == "per_epoch":
            epoch, index = divmod(step - 1, order.steps_per_epoch)
            yield epoch, index * order.batch_size + start, index * order.batch_size + stop
            return
        # Epoch e owns the places floor(e * samples) .. floor((e + 1) * samples) - 1 of the run. samples is a fraction
        # where puzzles have different numbers of examples; nothing before an update has to be counted to find it.
        samples = self.metadata.samples_per_epoch
        position, end = (step - 1) * order.batch_size + start, (step - 1) * order.batch_size + stop
        while position < end:
            # The last epoch that begins at or before `position`: floor(e * samples) <= position.
            epoch = -((-(position + 1)) // samples) - 1
            begin, limit = epoch * samples // 1, (epoch + 1) * samples // 1
            last = min(end, limit)
            yield epoch, position - begin, last - begin
            position = last

    # ------------------------------------------------------------ evaluation

    @property
    def eval_rows(self) -> int:
        """Return how many examples one evaluation sees (augmentations of an augmented test split included)."""
        return int(self._eval_starts[-1])

    def eval_count(self, batch_size: int) -> int:
        """Return the number of evaluation batches."""
        return -(-self.eval_rows // batch_size)

    def eval_batch(self, index: int, batch_size: int, rows: slice | None = None) -> Batch:
        """Return evaluation batch `index` (0, 1, ...), sequential; `valid` [B] is False for padding rows.

        Padding rows hold pad_id, ignored labels and the blank identifier.
        """
        start, stop, stride = (rows or slice(None)).indices(batch_size)
        if stride != 1:
            raise ValueError("rows must be contiguous")
        return self.eval_at(np.arange(index * batch_size + start, index * batch_size + stop))

    def eval_at(self, places: Index) -> Batch:
        """Return the evaluated rows at `places` [B]; those past the end, which must come last, are padding rows."""
        valid = places < self.eval_rows
        here = places[valid]
        puzzles, variants, within = self._eval_owners(here)
        rows = Rows(self._table.puzzle_start[puzzles] + within, puzzles, variants)
        drawn = [self._gather(rows, 0, None, 0)] if len(here) else []
        if len(here) < len(places):
            drawn.append(self.blank(len(places) - len(here)))
        return {**_join(drawn), "valid": valid}

    def _eval_owners(self, places: Index) -> tuple[Index, Index, Index]:
        """Stored puzzle, augmentation and example within the puzzle of evaluated rows [B]."""
        puzzles = np.searchsorted(self._eval_starts, places, side="right") - 1
        size = self._table.puzzle_start[puzzles + 1] - self._table.puzzle_start[puzzles]
        return puzzles, *np.divmod(places - self._eval_starts[puzzles], np.maximum(size, 1))

    def eval_groups(self, places: Index) -> tuple[Index, Index, Index]:
        """Group, augmentation within the group (0 is the plain puzzle) and stored puzzle of evaluated rows [B]."""
        puzzles, variants, _ = self._eval_owners(places)
        first = self._table.first_puzzle
        groups = np.searchsorted(first, puzzles, side="right") - 1
        return groups, puzzles - first[groups] + variants, puzzles

    def eval_batches(self, batch_size: int, *, limit: int | None = None) -> Iterator[Batch]:
        """Yield every evaluation batch in order, at most `limit` of them."""
        count = self.eval_count(batch_size)
        for index in range(count if limit is None else min(limit, count)):
            yield self.eval_batch(index, batch_size)

    def puzzle_values(self, name: str) -> NDArray[np.generic] | None:
        """Return a per-puzzle array that the builder keeps ("ratings"), all parts joined; None where one lacks it."""
        found = []
        for path in self.paths:
            for set_name in read_metadata(path, self.split).sets:
                file = array_path(path, self.split, name, set_name)
                if not file.is_file():
                    return None
                found.append(read_array(file, 1))
        values = np.concatenate(found)
        return values if len(values) == len(self._variants) else None

    # ------------------------------------------------------------ rows to arrays

    def _gather(self, rows: Rows, seed: int, epoch: int | None, lap: int) -> Batch:
        owner = np.searchsorted(self._first_examples, rows.examples, side="right") - 1
        if len(self._parts) == 1 or (owner[0] == owner[-1] and not np.any(owner != owner[0])):
            return self._gather_part(self._parts[owner[0]], rows, seed, epoch, lap)
        count, width = len(rows), self.metadata.seq_len
        batch: Batch = {
            "inputs": np.empty((count, width), np.int32),
            "labels": np.empty((count, width), np.int32),
            "puzzle_identifiers": np.empty(count, np.int32),
        }
        for index in np.unique(owner):
            mine = np.flatnonzero(owner == index)
            for key, value in self._gather_part(self._parts[index], rows[mine], seed, epoch, lap).items():
                batch[key][mine] = value
        return batch

    def _gather_part(self, part: DatasetPart, rows: Rows, seed: int, epoch: int | None, lap: int) -> Batch:
        examples, puzzles = rows.examples - part.first_example, rows.puzzles - part.first_puzzle
        inputs, labels = part.arrays.inputs[examples], part.arrays.labels[examples]
        identifiers = part.arrays.puzzle_identifiers[puzzles]
        if part.augmentation is not None:
            draw = Draw(inputs, labels, identifiers, puzzles, examples, rows.variants, seed, epoch, lap)
            inputs, labels, identifiers = part.augmentation.apply(draw)
        inputs, labels = inputs.astype(np.int32), labels.astype(np.int32)
        ignored = self.metadata.ignore_label_id
        if ignored is not None:
            labels[labels == ignored] = IGNORED_LABEL
        if part.identifier_offset:
            identifiers = identifiers + part.identifier_offset * (identifiers != 0)
        return {"inputs": inputs, "labels": labels, "puzzle_identifiers": identifiers.astype(np.int32)}

    def blank(self, count: int) -> Batch:
        """Rows without contents, in the shapes and types of every batch."""
        width = self.metadata.seq_len
        return {
            "inputs": np.full((count, width), self.metadata.pad_id, np.int32),
            "labels": np.full((count, width), IGNORED_LABEL, np.int32),
            "puzzle_identifiers": np.full(count, self.metadata.blank_identifier_id, np.int32),
        }


def _join(drawn: Sequence[Batch]) -> Batch:
    if len(drawn) == 1:
        return drawn[0]
    return {key: np.concatenate([batch[key] for batch in drawn]) for key in drawn[0]}
