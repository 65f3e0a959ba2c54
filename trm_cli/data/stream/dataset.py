"""Draw batches from stream shards, each a pure function of (seed, update), even while the builder is running.

An epoch takes every record that fits the canvas once. Epoch 0 walks the chunks in the order in which they are built
(the builder has shuffled all records beforehand), later epochs in an order of their own; inside a chunk the records
are shuffled anew each epoch. So training needs one chunk to start, and never one that is not the next to be written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data import counter_rng
from trm_cli.data.files.metadata import DatasetMetadata, read_metadata
from trm_cli.data.puzzles.dataset import Batch, BatchOrder
from trm_cli.data.stream.canvas_codes import CanvasSpec
from trm_cli.data.stream.drawing import Drawing, read_drawing
from trm_cli.data.stream.plan import stream_facts
from trm_cli.data.stream.store import ChunkStore
from trm_cli.data.stream.waiting import Waiting
from trm_cli.errors import DatasetError

Index = NDArray[np.int64]


def open_stream(root: str | Path, split: str, canvas_size: int, waiting: Waiting | None = None) -> StreamDataset:
    """Open one split of a stream dataset for a canvas of `canvas_size` px. Raises DatasetError.

    Works as soon as the builder has written its plan; a chunk that is missing is waited for as `waiting` says.
    """
    metadata = read_metadata(root, split)
    store = ChunkStore(root, split, waiting)
    return StreamDataset(metadata, store, CanvasSpec(canvas_size), read_drawing(root, metadata))


class StreamDataset:
    """One split of a stream dataset on one canvas. All methods are pure functions of their arguments."""

    def __init__(self, metadata: DatasetMetadata, store: ChunkStore, spec: CanvasSpec, drawing: Drawing) -> None:
        self.split = store.split
        self.paths = (str(store.root),)
        self.spec = spec
        self.store = store
        self.facts = stream_facts(metadata, spec.size, str(store.root))
        self.fingerprint = store.fingerprint
        self._drawing = drawing
        # What a model is built from, on this canvas.
        self.metadata = replace(
            metadata,
            seq_len=drawing.target_length(spec),
            total_groups=self.facts.total_groups,
            total_puzzles=self.facts.total_groups,
        )
        self._left_out = metadata.total_groups - self.facts.total_groups
        self._sizes = np.array([chunk.eligible(spec.side) for chunk in store.chunks], dtype=np.int64)
        if int(self._sizes.sum()) != self.facts.total_groups:
            raise DatasetError(f"{store.root}: dataset.json and the manifest disagree about the number of records")
        if not self.facts.total_groups:
            raise DatasetError(f"{store.root}: no record of the {store.split} split fits a canvas of {spec.size} px")
        self._eligible = lru_cache(maxsize=4)(self._find_eligible)
        self._shuffled = lru_cache(maxsize=4)(self._shuffle)
        self._walk = lru_cache(maxsize=4)(self._order_chunks)

    @property
    def notes(self) -> list[str]:
        """Return warnings about this data, to be shown before training, one sentence each."""
        lines = []
        if self._left_out:
            side = self.spec.side
            lines.append(f"{self._left_out:,} grids larger than {side}x{side} cells are left out of this canvas")
        sources = self.store.source.get("sources", [])
        for source in sources if isinstance(sources, list) else []:
            if isinstance(source, dict) and source.get("note"):
                lines.append(f"{source.get('name', 'source')}: {source['note']}")
        return lines

    # ------------------------------------------------------------ training

    def train_batch(self, step: int, order: BatchOrder, seed: int, rows: slice | None = None) -> Batch:
        """Return the batch of update `step` (1, 2, ...).

        canvas_kind [B] int32, canvas [B, C] uint8, target [B, T] int32, target_kind [B] int32, puzzle_identifiers [B]
        int32, and picture [B, 3, h, w] uint8 where the dataset has pictures. `rows` selects a contiguous part.
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
        batch = self._empty(stop - start)
        for row, (epoch, place) in enumerate(zip(epochs.tolist(), places.tolist(), strict=True)):
            chunk, record = self._locate(seed, epoch, place)
            self._drawing.train(batch, row, self.spec, self.store.shard(chunk), record, seed, epoch)
        return batch

    def _locate(self, seed: int, epoch: int, place: int) -> tuple[int, int]:
        """Return (chunk, record within the chunk) at a place of an epoch."""
        walk, starts = self._walk(seed, epoch)
        position = int(np.searchsorted(starts, place, side="right")) - 1
        chunk = int(walk[position])
        return chunk, int(self._shuffled(seed, epoch, chunk)[place - int(starts[position])])

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
        shard = self.store.shard(chunk)
        self._drawing.require_drawable(shard, self.metadata.num_puzzle_identifiers, self.store.chunks[chunk].file)
        grids = np.asarray(shard.kind) == 0
        fits = np.asarray(shard.shape).max(axis=1) <= self.spec.side
        found = np.flatnonzero(~grids | fits)
        if len(found) != self._sizes[chunk]:
            raise DatasetError(f"{self.store.root / self.store.chunks[chunk].file} does not hold the planned grids")
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
        batch = self._empty(len(places))
        starts = np.cumsum(self._sizes) - self._sizes
        valid = places < self.eval_rows
        for row in np.flatnonzero(valid).tolist():
            chunk = int(np.searchsorted(starts, places[row], side="right")) - 1
            record = int(self._eligible(chunk)[places[row] - int(starts[chunk])])
            self._drawing.evaluate(batch, row, self.spec, self.store.shard(chunk), record)
        return {**batch, "valid": valid}

    def eval_batches(self, batch_size: int, *, limit: int | None = None) -> Iterator[Batch]:
        """Yield every evaluation batch in order, at most `limit` of them."""
        count = self.eval_count(batch_size)
        for index in range(count if limit is None else min(limit, count)):
            yield self.eval_batch(index, batch_size)

    def blank(self, count: int) -> Batch:
        """Rows without contents, in the shapes and types of every batch."""
        return self._empty(count)

    def _empty(self, count: int) -> Batch:
        return self._drawing.empty(count, self.spec)


def canvas_rows(batch: Batch, kinds: Sequence[int]) -> NDArray[np.int64]:
    """Return the rows of a batch whose canvas is one of `kinds`: [n]."""
    return np.flatnonzero(np.isin(batch["canvas_kind"], list(kinds)))
