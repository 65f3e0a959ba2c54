"""Mix the sources of a stream dataset: how many records of each, in which order, with which identifiers and labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from trm_cli.data.files.metadata import IGNORED_LABEL, SPLITS, DatasetMetadata
from trm_cli.data.stream.records import GRID, KIND_NAMES, TEXT, Record
from trm_cli.data.stream.shape import StreamShape
from trm_cli.data.stream.storage.plan import BATCHES_PER_CHUNK, GRID_SIDES, KIND, ChunkPlan, cut_into_chunks
from trm_cli.data.stream.vocabulary import PAD
from trm_cli.errors import DatasetError

from .pictures.drawn import DrawnPictures
from .pictures.folders import PictureSource
from .sources import RecordSource
from .task_source import ArcSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_SOURCES = 255
# A chunk is in memory while it is joined.
_CHUNK_BYTES = 1 << 25
_MOST_BATCH_RECORDS = 256


@dataclass(frozen=True)
class Mixture:
    """Sources with their weights. A weight of 3 puts each training record of a source three times into an epoch, one
    of 0.5 every second one; test records are never repeated or left out. variants: augmentations per task. text_window:
    tokens of a text record. demonstrations: other pairs of its task that a grid comes with. like: the batches look like
    this, whatever the sources need of it.
    """

    sources: tuple[RecordSource, ...]
    weights: tuple[float, ...]
    variants: int
    seed: int
    text_window: int
    demonstrations: int
    like: StreamShape | None = None

    def planned(self, number: int, split: str) -> int:
        """Return how many records of source `number` a split holds."""
        count = self.sources[number].count(split)
        return count if split == "test" else round(count * self.weights[number])

    def count(self, split: str) -> int:
        """Return the number of records of a split."""
        return sum(self.planned(number, split) for number in range(len(self.sources)))

    @cached_property
    def tasks(self) -> tuple[ArcSource, ...]:
        """Return the sources of grids."""
        return tuple(source for source in self.sources if isinstance(source, ArcSource))

    @cached_property
    def group_bases(self) -> tuple[int, ...]:
        """Return the number of tasks before each source."""
        return (0, *accumulate(len(source.groups) if isinstance(source, ArcSource) else 0 for source in self.sources))

    @property
    def identifiers(self) -> int:
        """Return the number of puzzle identifiers, the blank one included."""
        return 1 + self.group_bases[-1] * self.variants

    @cached_property
    def shape(self) -> StreamShape:
        """Return what the batches look like on the largest board."""
        if self.like is not None:
            return self.like
        pictures = [source for source in self.sources if isinstance(source, PictureSource | DrawnPictures)]
        return StreamShape(
            side=max(self.board_sides, default=0),
            text_window=self.text_window if any(source.record_kind == TEXT for source in self.sources) else 0,
            picture=(pictures[0].channels, pictures[0].side) if pictures else None,
            labels=tuple(dict.fromkeys(label for source in pictures for label in source.labels)),
            demonstrations=self.demonstrations if self.tasks else 0,
        )

    @cached_property
    def board_sides(self) -> list[int]:
        """Return the longest sides of all grids of both splits, each once."""
        sides = {side for source in self.sources for split in SPLITS for side in source.sides(split)}
        return sorted(sides if self.like is None else sides | {self.like.side})

    def batch_records(self, wanted: int | None) -> int:
        """Return the records of a part file: as many as are wanted, else so many that a chunk stays small."""
        largest = max(self.shape.picture_bytes, self.shape.text_window + 1, 2 * self.shape.cells)
        return wanted or max(1, min(_MOST_BATCH_RECORDS, _CHUNK_BYTES // (BATCHES_PER_CHUNK * largest)))

    def require_records(self) -> None:
        """Raise DatasetError when a split would be empty, or a source is none of grids on a board that is given."""
        if self.like is not None and (len(self.tasks) < len(self.sources) or self.board_sides[-1] > self.like.side):
            raise DatasetError(f"--like: only grids of up to {self.like.side}x{self.like.side} cells can be added")
        for split in SPLITS:
            if not self.count(split):
                names = ", ".join(source.origin.name for source in self.sources)
                hint = "give more documents (<|endoftext|> divides a text file), or another --test-share"
                raise DatasetError(f"{names}: the {split} split would be empty", hint=hint)

    def grid_sides(self, split: str) -> dict[str, int]:
        """Return how many grids there are of each longest side."""
        counts: dict[int, int] = {}
        for number, source in enumerate(self.sources):
            sides = source.sides(split)
            for index in range(self.planned(number, split) if sides else 0):
                side = sides[index % len(sides)]
                counts[side] = counts.get(side, 0) + 1
        return {str(side): counts[side] for side in sorted(counts)}

    def kinds(self, split: str) -> dict[str, dict[str, int]]:
        """Return the records of each kind, and about how many symbols they ask for."""
        found: dict[str, dict[str, int]] = {}
        for number, source in enumerate(self.sources):
            if planned := self.planned(number, split):
                entry = found.setdefault(KIND_NAMES[source.record_kind], {"records": 0, "symbols": 0})
                entry["records"] += planned
                entry["symbols"] += round(source.symbols(split) * planned / source.count(split))
        return {name: found[name] for name in KIND_NAMES if name in found}

    def metadata(self, split: str) -> DatasetMetadata:
        """Return the split's description, without numpy."""
        groups = self.count(split)
        augmentation = {"kind": KIND, "count": self.variants} if self.variants > 1 and split == "train" else None
        return DatasetMetadata(
            pad_id=PAD,
            ignore_label_id=IGNORED_LABEL,
            blank_identifier_id=0,
            vocab_size=self.shape.vocab_size,
            seq_len=self.shape.target_length,
            num_puzzle_identifiers=self.identifiers,
            total_groups=groups,
            mean_puzzle_examples=1.0,
            total_puzzles=groups,
            kind=KIND,
            augmentation=augmentation,
            extra={
                **self.shape.to_extra(self.board_sides),
                GRID_SIDES: self.grid_sides(split),
                "kinds": self.kinds(split),
                "variants": self.variants,
            },
        )

    def describe(self) -> list[dict[str, object]]:
        """Return the manifest's entry of each source."""
        return [
            {
                **asdict(source.origin),
                "weight": weight,
                "dropped": dict(source.dropped),
                "available": {split: source.count(split) for split in SPLITS},
                "planned": {split: self.planned(number, split) for split in SPLITS},
            }
            for number, (source, weight) in enumerate(zip(self.sources, self.weights, strict=True))
        ]

    def shown_pairs(self) -> Iterator[Record]:
        """Yield the pairs that show the rules of all tasks, task by task."""
        for number, source in enumerate(self.sources):
            if isinstance(source, ArcSource):
                for record in source.demonstrations():
                    yield self._placed(record, number)

    # ------------------------------------------------------------ with numpy

    @cached_property
    def orders(self) -> Mapping[str, NDArray[np.int64]]:
        """Return for each split the place of every ordinal among the concatenated sources: [records]."""
        import numpy as np

        from trm_cli.data import counter_rng

        # The test split is shuffled as well: an evaluation limited to some batches still sees every source.
        return {
            split: np.asarray(counter_rng.permutation(self.seed, f"stream/order/{split}", self.count(split)))
            for split in SPLITS
        }

    def chunks(self, batch_records: int) -> list[ChunkPlan]:
        """Return all chunks in the order in which they are built: the test split first, because it is small and the
        first evaluation needs all of it.
        """
        import numpy as np

        plans: list[ChunkPlan] = []
        for split in reversed(SPLITS):
            parts = []
            for number, source in enumerate(self.sources):
                planned = self.planned(number, split)
                sides = np.asarray(source.sides(split) or [0], dtype=np.uint8)
                parts.append(np.resize(sides, planned))
            ordered = np.concatenate(parts)[self.orders[split]]
            plans += cut_into_chunks(split, ordered.data, batch_records)
        return plans

    def records(self, split: str, first: int, count: int) -> Sequence[Record]:
        """Make the records first..first+count-1 of a split."""
        import numpy as np

        ends = np.cumsum([self.planned(number, split) for number in range(len(self.sources))])
        starts = [0, *ends.tolist()]
        places = self.orders[split][first : first + count]
        numbers = np.searchsorted(ends, places, side="right")
        made = []
        for place, number in zip(places.tolist(), numbers.tolist(), strict=True):
            source = self.sources[number]
            record = source.record(split, (place - starts[number]) % source.count(split))
            made.append(self._placed(record, number))
        return made

    @cached_property
    def _labels(self) -> Mapping[str, int]:
        return {label: number for number, label in enumerate(self.shape.labels)}

    def _placed(self, record: Record, number: int) -> Record:
        """A record of source `number` with its task and label as they are counted over all sources."""
        source = self.sources[number]
        if record.kind == GRID:
            return record._replace(source=number, group=record.group + self.group_bases[number])
        if isinstance(source, PictureSource | DrawnPictures):
            return record._replace(source=number, label=self._labels[source.labels[record.label]])
        return record._replace(source=number) if number else record
