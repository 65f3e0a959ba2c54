"""Draw batches from stream shards, each a pure function of (seed, update), even while the builder is running.

An epoch takes every record that fits the board once. Epoch 0 walks the chunks in the order in which they are built
(the builder has shuffled all records beforehand), later epochs in an order of their own; inside a chunk the records
are shuffled anew each epoch. So training needs one chunk to start, and never one that is not the next to be written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data import counter_rng
from trm_cli.data.files.metadata import DatasetMetadata, read_metadata
from trm_cli.data.puzzles.dataset import Batch, BatchOrder
from trm_cli.data.stream.drawing import Chance, Drawing, read_drawing
from trm_cli.data.stream.records import GRID
from trm_cli.data.stream.shape import stream_shape
from trm_cli.data.stream.storage.plan import stream_facts
from trm_cli.data.stream.storage.shard_file import RecordShard
from trm_cli.data.stream.storage.store import ChunkStore
from trm_cli.data.stream.storage.waiting import Waiting
from trm_cli.errors import DatasetError

Index = NDArray[np.int64]


def open_stream(root: str | Path, split: str, board_side: int, waiting: Waiting | None = None) -> StreamDataset:
    """Open one split of a stream dataset, its grids on a board of at most `board_side` cells a side.

    Works as soon as the builder has written its plan; a chunk that is missing is waited for as `waiting` says.
    Raises DatasetError.
    """
    metadata = read_metadata(root, split)
    shape = stream_shape(metadata, board_side, str(root))
    store = ChunkStore(root, split, waiting)
    return StreamDataset(metadata, store, read_drawing(root, metadata, shape), board_side)


class StreamDataset:
    """One split of a stream dataset on one board. All methods are pure functions of their arguments."""

    def __init__(self, metadata: DatasetMetadata, store: ChunkStore, drawing: Drawing, board_side: int) -> None:
        self.split = store.split
        self.paths = (str(store.root),)
        self.shape = drawing.shape
        self.store = store
        self.facts = stream_facts(metadata, board_side, str(store.root))
        self.fingerprint = store.fingerprint
        self._drawing = drawing
        self._board_side = board_side
        # What a model is built from, on this board.
        self.metadata = replace(
            metadata,
            seq_len=self.shape.target_length,
            total_groups=self.facts.total_groups,
            total_puzzles=self.facts.total_groups,
            extra={**metadata.extra, "board_side": self.shape.side},
        )
        self._left_out = metadata.total_groups - self.facts.total_groups
        self._sizes = np.array([chunk.eligible(board_side) for chunk in store.chunks], dtype=np.int64)
        if int(self._sizes.sum()) != self.facts.total_groups:
            raise DatasetError(f"{store.root}: dataset.json and the manifest disagree about the number of records")
        if not self.facts.total_groups:
            raise DatasetError(f"{store.root}: no record of the {store.split} split fits a board of {board_side} cells")
        self._eligible = lru_cache(maxsize=8)(self._find_eligible)
        self._shuffled = lru_cache(maxsize=4)(self._shuffle)
        self._walk = lru_cache(maxsize=4)(self._order_chunks)

    @property
    def notes(self) -> list[str]:
        """Return warnings about this data, to be shown before training, one sentence each."""
        lines = []
        if self._left_out:
            side = self._board_side
            lines.append(f"{self._left_out:,} grids larger than {side}x{side} cells are left out of this board")
        sources = self.store.source.get("sources", [])
        for source in sources if isinstance(sources, list) else []:
            if isinstance(source, dict) and source.get("note"):
                lines.append(f"{source.get('name', 'source')}: {source['note']}")
        return lines

    # ------------------------------------------------------------ training

    def train_batch(self, step: int, order: BatchOrder, seed: int, rows: slice | None = None) -> Batch:
        """Return the batch of update `step` (1, 2, ...).

        kind int32 [B] (0 grid, 1 text, 2 picture), target int32 [B, S], puzzle_identifiers int32 [B], and for the kinds
        that the dataset has: cells uint8 [B, side * side] and size uint8 [B, 4]; pair_cells uint8
        [B, k, 2, side * side] and pair_size uint8 [B, k, 4]; text int32 [B, T]; picture uint8 [B, C, h, w]. `rows`
        selects a contiguous part.
        """
        if step < 1:
            raise ValueError(f"updates are counted from 1, got {step}")
        start, stop, stride = (rows or slice(None)).indices(order.batch_size)
        if stride != 1:
            raise ValueError("rows must be contiguous")
        samples = self.facts.total_groups
        if order.rounding == "per_epoch":
            epoch, index = divmod(step - 1, order.steps_per_epoch)
            # A batch larger than the dataset goes on with another lap, which is drawn as an epoch of its own would be.
            laps, base = -(-order.steps_per_epoch * order.batch_size // samples), index * order.batch_size
            places = np.arange(base + start, base + stop)
            epochs, places = epoch * laps + places // samples, places % samples
        else:
            run = np.arange((step - 1) * order.batch_size + start, (step - 1) * order.batch_size + stop)
            epochs, places = np.divmod(run, samples)
        found: list[tuple[RecordShard, Index, Index]] = []
        for epoch in np.unique(epochs).tolist():
            here = np.flatnonzero(epochs == epoch)
            chunks, records = self._locate(seed, epoch, places[here])
            found += [(self.store.shard(chunk), here[rows], records[rows]) for chunk, rows in _by_value(chunks)]
        return self._drawing.draw(stop - start, found, Chance(seed, epochs))

    def _locate(self, seed: int, epoch: int, places: Index) -> tuple[Index, Index]:
        """Return chunks [n] and records within these [n] at places [n] of an epoch."""
        walk, starts = self._walk(seed, epoch)
        positions = np.searchsorted(starts, places, side="right") - 1
        chunks, records = walk[positions], places - starts[positions]
        for chunk, rows in _by_value(chunks):
            records[rows] = self._shuffled(seed, epoch, chunk)[records[rows]]
        return chunks, records

    def _order_chunks(self, seed: int, epoch: int) -> tuple[Index, Index]:
        """Return the order of the chunks in an epoch, and the place at which each begins."""
        count = len(self._sizes)
        if epoch == 0:
            walk = np.arange(count)
        else:
            walk = counter_rng.permutations(seed, "stream/chunks", epoch, count)
        sizes = self._sizes[walk]
        # Chunks without an eligible record are left out: they would share their start with the next.
        walk, sizes = walk[sizes > 0], sizes[sizes > 0]
        return walk, np.cumsum(sizes) - sizes

    def _shuffle(self, seed: int, epoch: int, chunk: int) -> Index:
        eligible = self._eligible(chunk)
        return eligible[counter_rng.permutations(seed, "stream/records", (epoch, chunk), len(eligible))]

    def _find_eligible(self, chunk: int) -> Index:
        shard, name = self.store.shard(chunk), self.store.chunks[chunk].file
        self._drawing.require_drawable(shard, self.metadata.num_puzzle_identifiers, name)
        found = np.flatnonzero((shard.kind != GRID) | (shard.shape.max(axis=1) <= self._board_side))
        if len(found) != self._sizes[chunk]:
            raise DatasetError(f"{self.store.root / name} does not hold the planned grids")
        return found

    # ------------------------------------------------------------ evaluation

    @property
    def eval_rows(self) -> int:
        """Return how many records one evaluation sees."""
        return self.facts.total_groups

    def eval_count(self, batch_size: int) -> int:
        """Return the number of evaluation batches."""
        return -(-self.eval_rows // batch_size)

    def eval_batch(self, index: int, batch_size: int, rows: slice | None = None) -> Batch:
        """Return evaluation batch `index` (0, 1, ...), sequential, not augmented; `valid` [B] marks real rows."""
        start, stop, stride = (rows or slice(None)).indices(batch_size)
        if stride != 1:
            raise ValueError("rows must be contiguous")
        return self.eval_at(np.arange(index * batch_size + start, index * batch_size + stop))

    def eval_at(self, places: Index) -> Batch:
        """Return the evaluated records at `places` [B]; those past the end are padding rows."""
        starts = np.cumsum(self._sizes) - self._sizes
        valid = places < self.eval_rows
        chunks = np.searchsorted(starts, places, side="right") - 1
        found = []
        for chunk, rows in _by_value(np.where(valid, chunks, -1)):
            if chunk >= 0:
                records = self._eligible(chunk)[places[rows] - int(starts[chunk])]
                found.append((self.store.shard(chunk), rows, records))
        return {**self._drawing.draw(len(places), found, None), "valid": valid}

    def eval_batches(self, batch_size: int, *, limit: int | None = None) -> Iterator[Batch]:
        """Yield every evaluation batch in order, at most `limit` of them."""
        count = self.eval_count(batch_size)
        for index in range(count if limit is None else min(limit, count)):
            yield self.eval_batch(index, batch_size)

    def blank(self, count: int) -> Batch:
        """Rows without contents, in the shapes and types of every batch."""
        return self._drawing.empty(count)


def _by_value(values: Index) -> Iterator[tuple[int, Index]]:
    """Yield each value and the rows [n] where it stands."""
    for value in np.unique(values).tolist():
        yield value, np.flatnonzero(values == value)
