"""Plan the chunks of a stream dataset before its first record is built. Standard library only.

A stream dataset is a row of records in an order that the builder fixed beforehand, cut into chunks: one consolidated
file each. The plan counts, for every chunk, its records and the sides of its largest grids, so that the number of
samples on a board of any size, and with it the schedule, is known while the builder is still at work.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from trm_cli.data.files.metadata import DatasetFacts, DatasetMetadata, read_facts, read_metadata
from trm_cli.data.stream.shape import require_version
from trm_cli.errors import REBUILD, DatasetError

KIND = "stream"
FOLDER = "stream_checkpoints"
AUGMENTATIONS_NAME = "augmentations.npy"
DEMONSTRATIONS_NAME = "demonstrations.pt"
BATCHES_PER_CHUNK = 100
GRID_SIDES = "grid_sides"
_MOST_RECORDS = 1 << 31


@dataclass(frozen=True)
class ChunkPlan:
    """One consolidated file: where it is, what it starts with, and how many grids of which side it holds."""

    split: str
    number: int
    first: int
    records: int
    grid_sides: Mapping[str, int]

    @property
    def file(self) -> str:
        """Path relative to the dataset's root."""
        tag = "" if self.split == "train" else f"{self.split}_"
        return f"{FOLDER}/consolidated_{tag}{self.number:03d}.pt"

    def eligible(self, side: int) -> int:
        """Records that fit a board of `side` cells."""
        return self.records - too_large(self.grid_sides, side)


@dataclass(frozen=True)
class BatchPlan:
    """One part file of `count` records from `first` on; its number counts within the split."""

    split: str
    number: int
    first: int
    count: int

    @property
    def file(self) -> str:
        """Path relative to the dataset's root."""
        tag = "" if self.split == "train" else f"{self.split}_"
        return f"{FOLDER}/batch_{tag}{self.number:05d}.pt"


def too_large(grid_sides: Mapping[str, int], side: int) -> int:
    """Return the number of grids whose longer side exceeds `side` cells."""
    return sum(count for text, count in grid_sides.items() if int(text) > side)


def batches_of(chunk: ChunkPlan, batch_records: int) -> list[BatchPlan]:
    """Return the part files that make up a chunk, in order."""
    return [
        BatchPlan(
            chunk.split,
            start // batch_records,
            start,
            min(batch_records, chunk.first + chunk.records - start),
        )
        for start in range(chunk.first, chunk.first + chunk.records, batch_records)
    ]


def cut_into_chunks(split: str, sides: Sequence[int], batch_records: int) -> list[ChunkPlan]:
    """Cut the records of a split, given by their grid sides (0: no grid) in planned order, into chunks."""
    size = BATCHES_PER_CHUNK * batch_records
    chunks = []
    for number, first in enumerate(range(0, len(sides), size)):
        part = sides[first : first + size]
        counts: dict[int, int] = {}
        for side in part:
            if side:
                counts[side] = counts.get(side, 0) + 1
        chunks.append(ChunkPlan(split, number, first, len(part), {str(side): counts[side] for side in sorted(counts)}))
    return chunks


def chunks_to_json(chunks: Sequence[ChunkPlan]) -> list[dict[str, object]]:
    """Return the list that the manifest holds."""
    return [{**asdict(chunk), "file": chunk.file} for chunk in chunks]


def chunks_from_json(value: object, where: str) -> tuple[ChunkPlan, ...]:
    """Read the list back. Raises DatasetError."""
    if not isinstance(value, list):
        raise DatasetError(f"{where}: planned chunks are missing", hint=REBUILD)
    try:
        chunks = tuple(
            ChunkPlan(
                str(item["split"]),
                int(item["number"]),
                int(item["first"]),
                int(item["records"]),
                {str(side): int(count) for side, count in item["grid_sides"].items()},
            )
            for item in value
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DatasetError(f"{where}: planned chunks are damaged: {error}", hint=REBUILD) from error
    following: dict[str, tuple[int, int]] = {}
    for chunk in chunks:
        grids = chunk.grid_sides.values()
        if (chunk.number, chunk.first) != following.get(chunk.split, (0, 0)) or not 0 < chunk.records < _MOST_RECORDS:
            raise DatasetError(f"{where}: planned chunk {chunk.number} does not follow the others", hint=REBUILD)
        if min(grids, default=0) < 0 or sum(grids) > chunk.records:
            raise DatasetError(f"{where}: chunk {chunk.number} counts its grids wrongly", hint=REBUILD)
        following[chunk.split] = (chunk.number + 1, chunk.first + chunk.records)
    return chunks


def stream_facts(metadata: DatasetMetadata, board_side: int, source: str) -> DatasetFacts:
    """Return the schedule's numbers on a board of `board_side` cells a side: records too large for it do not count.

    Raises DatasetError where the metadata does not count its grids.
    """
    require_version(metadata, source)
    sides = metadata.extra.get(GRID_SIDES, {})
    right = isinstance(sides, Mapping) and all(
        side.isascii() and side.isdigit() and len(side) < 10 and isinstance(count, int) and count >= 0
        for side, count in sides.items()
    )
    if not right or metadata.mean_puzzle_examples != 1:
        raise DatasetError(f"{source}: dataset.json of a stream must count its grids and have one example a record")
    lost = too_large(sides, board_side)  # type: ignore[arg-type]  # checked above
    return DatasetFacts(metadata.total_groups - lost, metadata.mean_puzzle_examples, source)


def facts_on_board(paths: Sequence[str | Path], board_side: int | None) -> DatasetFacts:
    """Read the schedule's numbers of what `data_paths` names, of either format, from the dataset.json files alone.

    board_side: cells along one side of the largest grid that the model takes, None for a model that reads tokens.
    """
    if board_side is not None and len(paths) == 1:
        metadata = read_metadata(paths[0], "train")
        if metadata.kind == KIND:
            return stream_facts(metadata, board_side, str(paths[0]))
    return read_facts(paths)


def plan_fingerprint(parts: Mapping[str, object]) -> str:
    """Return the SHA-256 of what decides the content: known at once, and the same when the build is finished."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
