"""Place one record on a canvas: augment, position, crop, make the target. Random numbers come from (seed, epoch,
record).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data import counter_rng
from trm_cli.data.arc import transforms
from trm_cli.data.arc.encoding import Grid
from trm_cli.data.files.array_file import read_array
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.puzzles.dataset import Batch
from trm_cli.data.stream.canvas_codes import CanvasSpec, grid_target, place_grid, place_text, text_target
from trm_cli.data.stream.plan import AUGMENTATIONS_NAME
from trm_cli.data.stream.records import GRID, PICTURE, TEXT
from trm_cli.data.stream.shards import RecordShard
from trm_cli.data.stream.vocabulary import IGNORED, TEXT_TARGET, target_length
from trm_cli.errors import REBUILD, DatasetError

# The least that a reader gets to see before the cut.
MIN_PREFIX = 16
# The published recipe shifts all pairs of a task but one: three of four of the usual four.
SHIFTED_SHARE = 0.75
#: A side is one byte of a record.
LARGEST_PICTURE = 255


@dataclass(frozen=True)
class Drawing:
    """How the records of one dataset become samples.

    codes: uint32 [tasks, variants] of `augmentation.arc.encode`, variant 0 the task itself; None: no augmentation.
    picture_side: pixels of the stored square pictures, 0 where there are none. has_grids: whether a target needs a
    place for every cell.
    """

    codes: NDArray[np.uint32] | None
    picture_side: int
    has_grids: bool

    @property
    def variants(self) -> int:
        """Augmentations per task, the task itself included."""
        return 1 if self.codes is None else self.codes.shape[1]

    def distinct(self, group: int) -> int:
        """Return how many augmentations of a task differ: a symmetric one with few colours has fewer than `variants`.

        Its row of codes goes on with zeros, which is the task itself.
        """
        return 1 if self.codes is None or not group else 1 + int(np.count_nonzero(self.codes[group - 1]))

    def target_length(self, spec: CanvasSpec) -> int:
        """Return T: places of a target."""
        return target_length(spec.size, self.has_grids)

    def require_drawable(self, shard: RecordShard, identifiers: int, name: str) -> None:
        """Raise DatasetError unless every record of a shard has its augmentations, and pictures have their size."""
        groups, pictures = np.asarray(shard.group), np.asarray(shard.kind) == PICTURE
        if len(groups) and int(groups.max()) * self.variants >= identifiers:
            raise DatasetError(f"{name} holds task {groups.max()}, the dataset has {identifiers} identifiers")
        if np.any(np.asarray(shard.shape)[pictures][:, :2] != self.picture_side):
            raise DatasetError(f"{name} holds a picture that is not {self.picture_side}x{self.picture_side} pixels")

    def empty(self, count: int, spec: CanvasSpec) -> Batch:
        """Return a batch of `count` rows in which nothing is drawn and nothing is to be predicted."""
        batch: Batch = {
            "canvas_kind": np.zeros(count, np.int32),
            "canvas": np.zeros((count, max(spec.cells, spec.characters)), np.uint8),
            "target": np.full((count, self.target_length(spec)), IGNORED, np.int32),
            "target_kind": np.zeros(count, np.int32),
            "puzzle_identifiers": np.zeros(count, np.int32),
        }
        if self.picture_side:
            batch["picture"] = np.zeros((count, 3, self.picture_side, self.picture_side), np.uint8)
        return batch

    def train(
        self, batch: Batch, row: int, spec: CanvasSpec, shard: RecordShard, record: int, seed: int, epoch: int
    ) -> None:
        """Draw a record, augmented, into row `row` of a batch made by `empty`."""
        chance = counter_rng.uniform(seed, "stream/draw", (epoch, shard.first + record), 4)
        kind = int(shard.kind[record])
        if kind == GRID:
            variant = int(chance[0] * self.distinct(int(shard.group[record])))
            self._grid(batch, row, spec, shard, record, variant, chance[1:] if self.codes is not None else None)
        elif kind == TEXT:
            length = len(shard.payload(record))
            low = min(MIN_PREFIX, length // 2)
            self._text(batch, row, spec, shard, record, low + int(chance[0] * (length - low)))
        else:
            self._picture(batch, row, shard, record)

    def evaluate(self, batch: Batch, row: int, spec: CanvasSpec, shard: RecordShard, record: int) -> None:
        """Draw a record as it is: unaugmented, at the top left, a text cut before its last TEXT_TARGET characters."""
        kind = int(shard.kind[record])
        if kind == GRID:
            self._grid(batch, row, spec, shard, record, 0, None)
        elif kind == TEXT:
            length = len(shard.payload(record))
            cut = min(spec.characters, max(length // 2, length - TEXT_TARGET))
            self._text(batch, row, spec, shard, record, cut)
        else:
            self._picture(batch, row, shard, record)

    def _grid(
        self,
        batch: Batch,
        row: int,
        spec: CanvasSpec,
        shard: RecordShard,
        record: int,
        variant: int,
        chance: NDArray[np.float64] | None,
    ) -> None:
        group = int(shard.group[record])
        given, wanted = split_pair(shard, record)
        if variant and self.codes is not None:
            given, wanted = augmented(given, wanted, int(self.codes[group - 1, variant]))
        top = left = 0
        if chance is not None and chance[0] < SHIFTED_SHARE:
            top = int(chance[1] * (spec.side - max(given.shape[0], wanted.shape[0]) + 1))
            left = int(chance[2] * (spec.side - max(given.shape[1], wanted.shape[1]) + 1))
        canvas = batch["canvas"][row].view(np.uint8)[: spec.cells]
        place_grid(canvas.reshape(spec.side, spec.side), given, top, left)
        grid_target(batch["target"][row].reshape(spec.side, spec.side), wanted, top, left)
        batch["canvas_kind"][row], batch["target_kind"][row] = GRID, 0
        batch["puzzle_identifiers"][row] = 1 + (group - 1) * self.variants + variant if group else 0

    @staticmethod
    def _text(batch: Batch, row: int, spec: CanvasSpec, shard: RecordShard, record: int, cut: int) -> None:
        text = shard.payload(record).tobytes()
        place_text(batch["canvas"][row], text[max(0, cut - spec.characters) : cut])
        following = text[cut : cut + TEXT_TARGET]
        ends = bool(shard.ends[record]) and cut + len(following) == len(text)
        text_target(batch["target"][row], following, ends=ends)
        batch["canvas_kind"][row], batch["target_kind"][row] = TEXT, 1

    @staticmethod
    def _picture(batch: Batch, row: int, shard: RecordShard, record: int) -> None:
        pixels, label = split_picture(shard, record)
        batch["picture"][row] = pixels
        text_target(batch["target"][row], label, ends=True)
        batch["canvas_kind"][row], batch["target_kind"][row] = PICTURE, 1


def split_pair(shard: RecordShard, record: int) -> tuple[Grid, Grid]:
    """Return input [h, w] and output [h', w'] of a grid record, colours 0..9."""
    in_height, in_width, out_height, out_width = (int(side) for side in shard.shape[record])
    payload = shard.payload(record)
    cells = in_height * in_width
    return payload[:cells].reshape(in_height, in_width), payload[cells:].reshape(out_height, out_width)


def split_picture(shard: RecordShard, record: int) -> tuple[NDArray[np.uint8], bytes]:
    """Return the pixels [3, h, w] and the label of a picture record."""
    height, width = int(shard.shape[record][0]), int(shard.shape[record][1])
    payload = shard.payload(record)
    pixels = 3 * height * width
    return payload[:pixels].reshape(3, height, width), payload[pixels:].tobytes()


def augmented(given: Grid, wanted: Grid, code: int) -> tuple[Grid, Grid]:
    """Return input and output under one augmentation, the same for both."""
    symmetries, permutations = transforms.decode(np.array([code], dtype=np.int64))
    chosen = transforms.Transform(int(symmetries[0]), tuple(int(colour) for colour in permutations[0]))
    return transforms.augment_grid(given, chosen), transforms.augment_grid(wanted, chosen)


def read_drawing(root: str | Path, metadata: DatasetMetadata) -> Drawing:
    """Read what the drawing of a dataset's records needs beside its shards. Raises DatasetError."""
    codes = None
    if metadata.extra.get("variants", 1) != 1:
        path = Path(root) / AUGMENTATIONS_NAME
        codes = read_array(path, 2).astype(np.uint32)
        fits = codes.size and 1 + codes.size == metadata.num_puzzle_identifiers and not codes[:, 0].any()
        if not fits or codes.max() >= transforms.CODES:
            raise DatasetError(f"{path} does not fit dataset.json", hint=REBUILD)
    side = metadata.extra.get("picture_side", 0)
    if not isinstance(side, int) or not 0 <= side <= LARGEST_PICTURE:
        raise DatasetError(f"{root}: picture_side must be 0..{LARGEST_PICTURE}, found {side!r:.100}")
    return Drawing(codes, side, bool(metadata.extra.get("has_grids")))
