"""Mix the sources of a stream dataset: how many records of each, in which order, with which identifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from trm_cli.data.files.metadata import SPLITS, DatasetMetadata
from trm_cli.data.stream.plan import GRID_SIDES, KIND, ChunkPlan, cut_into_chunks
from trm_cli.data.stream.records import Record
from trm_cli.data.stream.vocabulary import IGNORED, PAD, VOCAB_SIZE, target_length
from trm_cli.errors import DatasetError

from .pictures import PictureSource
from .shapes import ShapeSource
from .sources import ArcSource, RecordSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# What the metadata describes; other canvases derive their numbers from it.
FULL_CANVAS = 224
MAX_SOURCES = 255


@dataclass(frozen=True)
class Mixture:
    """Sources with their weights. A weight of 3 puts each training record of a source three times into an epoch, one
    of 0.5 every second one; test records are never repeated or left out. variants: augmentations per task.
    """

    sources: tuple[RecordSource, ...]
    weights: tuple[float, ...]
    variants: int
    seed: int

    def planned(self, number: int, split: str) -> int:
        """Return how many records of source `number` a split holds."""
        count = self.sources[number].count(split)
        return count if split == "test" else round(count * self.weights[number])

    def count(self, split: str) -> int:
        """Return the number of records of a split."""
        return sum(self.planned(number, split) for number in range(len(self.sources)))

    @cached_property
    def group_bases(self) -> tuple[int, ...]:
        """Return the number of tasks before each source."""
        return (0, *accumulate(len(source.groups) if isinstance(source, ArcSource) else 0 for source in self.sources))

    @property
    def identifiers(self) -> int:
        """Return the number of puzzle identifiers, the blank one included."""
        return 1 + self.group_bases[-1] * self.variants

    @property
    def picture_side(self) -> int:
        """Return the side of the pictures in pixels, 0 without pictures."""
        return max(
            (source.side for source in self.sources if isinstance(source, PictureSource | ShapeSource)), default=0
        )

    def require_records(self) -> None:
        """Raise DatasetError when a split would be empty."""
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
            if not any(sides):
                continue
            for index in range(self.planned(number, split)):
                side = sides[index % len(sides)]
                if side:
                    counts[side] = counts.get(side, 0) + 1
        return {str(side): counts[side] for side in sorted(counts)}

    def metadata(self, split: str) -> DatasetMetadata:
        """Return the split's description, without numpy."""
        sides = self.grid_sides(split)
        groups = self.count(split)
        augmentation = {"kind": KIND, "count": self.variants} if self.variants > 1 and split == "train" else None
        return DatasetMetadata(
            pad_id=PAD,
            ignore_label_id=IGNORED,
            blank_identifier_id=0,
            vocab_size=VOCAB_SIZE,
            seq_len=target_length(FULL_CANVAS, bool(self.grid_sides("train") or self.grid_sides("test"))),
            num_puzzle_identifiers=self.identifiers,
            total_groups=groups,
            mean_puzzle_examples=1.0,
            total_puzzles=groups,
            kind=KIND,
            augmentation=augmentation,
            extra={
                GRID_SIDES: sides,
                "has_grids": bool(self.grid_sides("train") or self.grid_sides("test")),
                "picture_side": self.picture_side,
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
                sides = np.asarray(source.sides(split), dtype=np.uint8)
                parts.append(np.resize(sides, self.planned(number, split)))
            ordered = np.concatenate(parts)[self.orders[split]]
            plans += cut_into_chunks(split, ordered.data, batch_records)
        return plans

    def records(self, split: str, first: int, count: int) -> Sequence[Record]:
        """Make the records first..first+count-1 of a split."""
        starts = list(accumulate((self.planned(number, split) for number in range(len(self.sources))), initial=0))
        made = []
        for place in self.orders[split][first : first + count].tolist():
            number = next(index for index in range(len(self.sources)) if place < starts[index + 1])
            source = self.sources[number]
            record = source.record(split, (place - starts[number]) % source.count(split))
            group = record.group + self.group_bases[number] if record.group else 0
            made.append(record._replace(source=number, group=group))
        return made
