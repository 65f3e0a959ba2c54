"""Summarise a dataset directory in numbers: counts, lengths, tokens, sources; for puzzle arrays and stream shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.files.manifest import Manifest, read_manifest, split_fingerprint
from trm_cli.data.files.metadata import SPLITS, DatasetMetadata, read_metadata
from trm_cli.data.puzzles.dataset import open_dataset
from trm_cli.data.puzzles.kinds import kind_of
from trm_cli.data.stream.records import KIND_NAMES
from trm_cli.data.stream.shape import stream_shape
from trm_cli.data.stream.storage.plan import KIND as STREAM
from trm_cli.data.stream.storage.store import ChunkStore
from trm_cli.data.stream.vocabulary import BOARD_SIDE
from trm_cli.paths import is_dir, is_file

MAX_ROWS = 20_000
BINS = 10


@dataclass(frozen=True)
class Histogram:
    """The counts of lengths of `rows` rows: `edges` has one number more than `counts`. `unit` is what is counted."""

    unit: str
    rows: int
    edges: tuple[int, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class SplitReport:
    """One split: its metadata, the tokens that occur, lengths and difficulty, how many rows were looked at, and how
    often each label of a picture occurs.
    """

    metadata: DatasetMetadata
    kinds: Mapping[str, int]
    tokens_seen: int
    histograms: tuple[Histogram, ...]
    labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class DatasetReport:
    """The numbers of a dataset, as `trm inspect-dataset` shows them."""

    path: str
    manifest: Manifest | None
    fingerprint: str
    bytes: int
    files: int
    splits: Mapping[str, SplitReport] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Return the family of the dataset."""
        return next((split.metadata.kind or "puzzle arrays" for split in self.splits.values()), "unknown")

    @property
    def state(self) -> str:
        """Return whether the build has ended."""
        return "not stated" if self.manifest is None else self.manifest.state

    @property
    def sources(self) -> list[Mapping[str, object]]:
        """Return where the content is from, one mapping per source."""
        if self.manifest is None:
            return []
        listed = self.manifest.source.get("sources")
        if isinstance(listed, list):
            return [source for source in listed if isinstance(source, dict)]
        return [self.manifest.source]


def inspect(root: str | Path) -> DatasetReport:
    """Read a dataset's numbers. Lengths and tokens are counted over at most MAX_ROWS rows, spread evenly.

    Raises DatasetError where it is damaged.
    """
    path = Path(root)
    manifest = read_manifest(path)
    reports: dict[str, SplitReport] = {}
    for split in SPLITS:
        if not is_dir(path / split) and reports:
            continue
        metadata = read_metadata(path, split)
        reports[split] = _stream(path, split, metadata) if metadata.kind == STREAM else _arrays(path, split, metadata)
    files = [file for file in path.rglob("*") if is_file(file) and not file.name.startswith(".")]
    sealed = manifest.fingerprint if manifest is not None else None
    fingerprint = sealed or split_fingerprint(path, "train", manifest)
    size = sum(file.stat().st_size for file in files)
    return DatasetReport(str(path), manifest, fingerprint, size, len(files), reports)


def histogram(unit: str, lengths: NDArray[np.integer]) -> Histogram:
    """Count lengths [n] in at most BINS ranges of equal width."""
    low, high = int(lengths.min()), int(lengths.max())
    width = max(1, -(-(high - low + 1) // BINS))
    edges = np.arange(low, high + width + 1, width)
    counts, _ = np.histogram(lengths, bins=edges)
    return Histogram(unit, len(lengths), tuple(int(edge) for edge in edges), tuple(int(count) for count in counts))


def spread(count: int, wanted: int) -> NDArray[np.int64]:
    """Return at most `wanted` of the numbers 0..count-1, evenly spread."""
    wanted = min(count, wanted)
    return np.arange(wanted, dtype=np.int64) * count // max(1, wanted)


def _stream(root: Path, split: str, metadata: DatasetMetadata) -> SplitReport:
    shown = stream_shape(metadata, BOARD_SIDE, str(root)).labels
    store = ChunkStore(root, split)
    kinds = dict.fromkeys(KIND_NAMES, 0)
    lengths: dict[str, list[NDArray[np.int64]]] = {name: [] for name in KIND_NAMES}
    seen = np.zeros((len(KIND_NAMES), 256), dtype=bool)
    labels: Counter[str] = Counter()
    for index in range(store.ready):
        shard = store.shard(index)
        for number, name in enumerate(KIND_NAMES):
            rows = np.flatnonzero(shard.kind == number)
            kinds[name] += len(rows)
            if name == "grid":
                shape = shard.shape[rows].astype(np.int64)
                lengths[name].append(shape[:, 2] * shape[:, 3])
            else:
                lengths[name].append(shard.lengths[rows])
            counts = np.bincount(shard.label[rows]) if name == "picture" else ()
            labels.update({_name(shown, label): int(count) for label, count in enumerate(counts) if count})
            looked_at = rows[spread(len(rows), 1000)] if name != "picture" else rows[:0]
            seen[number, np.frombuffer(b"".join(shard.payloads(looked_at)), np.uint8)] = True
    units = {"grid": "cells of the answer", "text": "bytes", "picture": "bytes"}
    found = [
        histogram(units[name], joined)
        for name in ("grid", "text")
        if len(joined := np.concatenate([np.zeros(0, np.int64), *lengths[name]]))
    ]
    present = {name: count for name, count in kinds.items() if count}
    return SplitReport(metadata, present, int(seen.sum()), tuple(found), dict(labels.most_common()))


def _name(labels: Sequence[str], label: int) -> str:
    return labels[label] if label < len(labels) else str(label)


def _arrays(root: Path, split: str, metadata: DatasetMetadata) -> SplitReport:
    data = open_dataset([root], split, verify=False)
    places = spread(data.eval_rows, MAX_ROWS)
    seen: set[int] = set()
    lengths = []
    measures = kind_of(metadata).difficulty
    measured: dict[str, list[NDArray[np.integer]]] = {name: [] for name in measures}
    # Blocks of neighbours cost one read each; their starts are spread over the split.
    block = 256
    starts = spread(data.eval_count(block), max(1, len(places) // block))
    for start in starts.tolist():
        batch = data.eval_batch(start, block)
        valid = np.asarray(batch["valid"])
        rows = np.asarray(batch["inputs"])[valid]
        for name, measure in measures.items():
            tokens = np.asarray(batch[measure.column])[valid]
            measured[name].append(((tokens >= measure.lowest) & (tokens <= measure.highest)).sum(axis=1))
        seen.update(np.unique(rows).tolist())
        lengths.append((rows != metadata.pad_id).sum(axis=1))
    examples = {"example": data.eval_rows}
    found = [histogram("tokens of the input", np.concatenate(lengths))]
    found += [histogram(name.replace("_", " "), np.concatenate(counts)) for name, counts in measured.items()]
    ratings = data.puzzle_values("ratings")
    if ratings is not None and len(ratings):
        found.append(histogram("rating", np.asarray(ratings)))
    return SplitReport(data.metadata, examples, len(seen), tuple(found))
