"""Turn records into rows of a batch, whole batches at once. Random numbers come from (seed, epoch, record)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data import counter_rng
from trm_cli.data.arc import transforms
from trm_cli.data.arc.layout import COLOURS
from trm_cli.data.files.array_file import read_array
from trm_cli.data.files.metadata import IGNORED_LABEL, DatasetMetadata
from trm_cli.data.puzzles.dataset import Batch
from trm_cli.data.stream.boards import Bytes, Grids, Index, board_targets
from trm_cli.data.stream.demonstrations import Demonstrations
from trm_cli.data.stream.records import BEGINS, ENDS, GRID, OVERLAPS, PICTURE, TEXT, held_out_step
from trm_cli.data.stream.shape import StreamShape
from trm_cli.data.stream.storage.plan import AUGMENTATIONS_NAME
from trm_cli.data.stream.storage.shard_file import RecordShard
from trm_cli.data.stream.vocabulary import EOS, FIRST_BYTE, FIRST_LABEL, PAD, START
from trm_cli.errors import REBUILD, DatasetError


@dataclass(frozen=True)
class Chance:
    """What decides how records are drawn in training: the seed, and for each of n rows the epoch."""

    seed: int
    epochs: Index


@dataclass(frozen=True)
class _Rows:
    """Records of one kind, which stand in rows [n] of a batch: from several shards, their payloads joined."""

    rows: Index
    ordinals: Index
    lengths: Index
    content: Bytes
    columns: dict[str, NDArray[np.integer]]  # of `RecordShard`: group, place, shape, flags, label

    @property
    def starts(self) -> Index:
        """Where each payload begins."""
        return np.cumsum(self.lengths) - self.lengths


@dataclass(frozen=True)
class Drawing:
    """How the records of one dataset become rows of batches.

    codes: uint32 [tasks, variants] of `arc.transforms.encode`, variant 0 the task itself; None: no augmentation.
    """

    shape: StreamShape
    codes: NDArray[np.uint32] | None
    demonstrations: Demonstrations | None

    @property
    def variants(self) -> int:
        """Augmentations per task, the task itself included."""
        return 1 if self.codes is None else self.codes.shape[1]

    def distinct(self, groups: NDArray[np.integer]) -> Index:
        """Return how many augmentations of each task differ.

        A symmetric one with few colours has fewer than `variants`: its row of codes goes on with zeros, itself.
        """
        if self.codes is None:
            return np.ones(len(groups), np.int64)
        return np.where(groups > 0, 1 + np.count_nonzero(self.codes[groups - 1], axis=1), 1)

    def require_drawable(self, shard: RecordShard, identifiers: int, name: str) -> None:
        """Raise DatasetError unless the records of a shard are what the dataset says of itself."""
        shape, kinds = self.shape, shard.kind
        if len(shard) and int(shard.group.max()) * self.variants >= identifiers:
            raise DatasetError(f"{name} holds task {shard.group.max()}, the dataset has {identifiers} identifiers")
        if (kinds == PICTURE).any() and (
            shard.picture_bytes != shape.picture_bytes or int(shard.label.max()) >= len(shape.labels)
        ):
            raise DatasetError(f"{name} holds pictures of another size, or of an unknown class")
        if (kinds == TEXT).any() and int((shard.lengths + (shard.flags & ENDS > 0))[kinds == TEXT].max()) > (
            shape.text_window + 1
        ):
            raise DatasetError(f"{name} holds a text of more than {shape.text_window} tokens")
        if self.demonstrations is not None:
            self.demonstrations.require_tasks(shard, name)

    def empty(self, count: int) -> Batch:
        """Return a batch of `count` rows in which nothing is shown and nothing is to be predicted."""
        shape = self.shape
        batch: Batch = {
            "kind": np.zeros(count, np.int32),
            "target": np.full((count, shape.target_length), IGNORED_LABEL, np.int32),
            "puzzle_identifiers": np.zeros(count, np.int32),
        }
        if shape.side:
            batch["cells"] = np.zeros((count, shape.cells), np.uint8)
            batch["size"] = np.zeros((count, 4), np.uint8)
        if shape.side and shape.demonstrations:
            batch["pair_cells"] = np.zeros((count, shape.demonstrations, 2, shape.cells), np.uint8)
            batch["pair_size"] = np.zeros((count, shape.demonstrations, 4), np.uint8)
        if shape.text_window:
            batch["text"] = np.full((count, shape.text_window), PAD, np.int32)
        if shape.picture is not None:
            channels, side = shape.picture
            batch["picture"] = np.zeros((count, channels, side, side), np.uint8)
        return batch

    def draw(self, count: int, found: Sequence[tuple[RecordShard, Index, Index]], chance: Chance | None) -> Batch:
        """Return a batch of `count` rows. found: shards, the rows that are theirs, and the records of these.

        chance: how grids are augmented; None: not at all, with the first demonstrations.
        """
        batch = self.empty(count)
        for kind, draw in ((GRID, self._grids), (TEXT, self._texts), (PICTURE, self._pictures)):
            chosen = _gather(found, kind)
            if chosen is not None:
                batch["kind"][chosen.rows] = kind
                draw(batch, chosen, chance)
        return batch

    def _grids(self, batch: Batch, found: _Rows, chance: Chance | None) -> None:
        rows, side = found.rows, self.shape.side
        group, shapes = found.columns["group"].astype(np.int64), found.columns["shape"].astype(np.int64)
        variant = np.zeros(len(rows), np.int64)
        symmetries = colours = None
        if chance is not None and self.codes is not None:
            part = counter_rng.uniform(chance.seed, "stream/draw", (chance.epochs[rows], found.ordinals), 1)[:, 0]
            variant = (part * self.distinct(group)).astype(np.int64)
            symmetries, colours = transforms.decode(np.where(group > 0, self.codes[group - 1, variant], 0))
        pair = _pairs(found.content, found.starts, shapes)
        _lay_pairs(pair, side, symmetries, colours, batch["cells"], batch["size"], rows, batch["target"])
        batch["puzzle_identifiers"][rows] = np.where(group > 0, 1 + (group - 1) * self.variants + variant, 0)
        if self.demonstrations is None:
            return
        draw = None if chance is None else (chance.seed, chance.epochs[rows], found.ordinals)
        pairs = self.demonstrations.choose(
            group, found.columns["place"].astype(np.int64), self.shape.demonstrations, draw
        )
        of_row, slot = np.nonzero(pairs >= 0)
        shard, records = self.demonstrations.shard, pairs[of_row, slot]
        content = np.frombuffer(b"".join(shard.payloads(records)), np.uint8)
        starts = np.cumsum(shard.lengths[records]) - shard.lengths[records]
        shown = _pairs(content, starts, shard.shape[records].astype(np.int64))
        turned = None if symmetries is None else symmetries[of_row]
        coloured = None if colours is None else colours[of_row]
        for number, grids in enumerate(shown):
            boards, sizes = grids.lay(side, turned, coloured)
            batch["pair_cells"][rows[of_row], slot, number] = boards.reshape(-1, side**2)
            batch["pair_size"][rows[of_row], slot, 2 * number : 2 * number + 2] = sizes

    def _texts(self, batch: Batch, found: _Rows, chance: Chance | None) -> None:  # noqa: ARG002  # nothing is drawn
        window, flags = self.shape.text_window, found.columns["flags"]
        begins, ends, overlaps = ((flags & flag) > 0 for flag in (BEGINS, ENDS, OVERLAPS))
        place = np.arange(window + 1)
        tokens = np.full((len(flags), window + 1), PAD, np.int32)
        inside = (place >= begins[:, None]) & (place < (begins + found.lengths)[:, None])
        tokens[inside] = found.content.astype(np.int32) + FIRST_BYTE
        tokens[begins, 0] = START
        stop = begins + found.lengths + ends  # [n] tokens of each row
        tokens[ends, stop[ends] - 1] = EOS
        batch["text"][found.rows] = np.where(place[:-1] < (stop - 1)[:, None], tokens[:, :-1], PAD)
        scored = np.where(overlaps, window - held_out_step(window), 0)[:, None]
        asked = (place[1:] < stop[:, None]) & (place[:-1] >= scored)
        batch["target"][found.rows, :window] = np.where(asked, tokens[:, 1:], IGNORED_LABEL)

    def _pictures(self, batch: Batch, found: _Rows, chance: Chance | None) -> None:  # noqa: ARG002
        batch["picture"][found.rows] = found.content.reshape(-1, *batch["picture"].shape[1:])
        batch["target"][found.rows, 0] = FIRST_LABEL + found.columns["label"]


def _gather(found: Sequence[tuple[RecordShard, Index, Index]], kind: int) -> _Rows | None:
    """The records of one kind; None where there are none."""
    parts = []
    for shard, rows, records in found:
        mine = shard.kind[records] == kind
        if mine.any():
            parts.append((shard, rows[mine], records[mine]))
    if not parts:
        return None
    payloads = [payload for shard, _, records in parts for payload in shard.payloads(records)]
    return _Rows(
        np.concatenate([rows for _, rows, _ in parts]),
        np.concatenate([shard.first + records for shard, _, records in parts]),
        np.concatenate([shard.lengths[records] for shard, _, records in parts]),
        np.frombuffer(b"".join(payloads), np.uint8),
        {
            name: np.concatenate([getattr(shard, name)[records] for shard, _, records in parts])
            for name in ("group", "place", "shape", "flags", "label")
        },
    )


def _pairs(content: Bytes, starts: Index, shapes: Index) -> tuple[Grids, Grids]:
    """Inputs and outputs of grid records whose payloads begin at starts [n]; shapes [n, 4]. Raises DatasetError."""
    if content.max(initial=0) >= COLOURS:
        raise DatasetError(f"a grid holds a colour above {COLOURS - 1}", hint=REBUILD)
    height, width, out_height, out_width = shapes.T
    return Grids(content, starts, height, width), Grids(content, starts + height * width, out_height, out_width)


def _lay_pairs(
    pair: tuple[Grids, Grids],
    side: int,
    symmetries: Bytes | None,
    colours: Bytes | None,
    cells: NDArray[np.generic],
    size: NDArray[np.generic],
    rows: Index,
    target: NDArray[np.generic],
) -> None:
    """Write inputs into rows of cells [B, side * side], answers into rows of target [B, S], and the size of both."""
    boards, sizes = pair[0].lay(side, symmetries, colours)
    answers, answer_sizes = pair[1].lay(side, symmetries, colours)
    cells[rows] = boards.reshape(len(rows), -1)
    size[rows] = np.concatenate([sizes, answer_sizes], axis=1)
    target[rows, : side * side] = board_targets(answers, answer_sizes).reshape(len(rows), -1)


def read_drawing(root: str | Path, metadata: DatasetMetadata, shape: StreamShape) -> Drawing:
    """Read what the drawing of a dataset's records needs beside its shards. Raises DatasetError."""
    codes = None
    if metadata.extra.get("variants", 1) != 1:
        path = Path(root) / AUGMENTATIONS_NAME
        codes = read_array(path, 2).astype(np.uint32)
        fits = codes.size and 1 + codes.size == metadata.num_puzzle_identifiers and not codes[:, 0].any()
        if not fits or codes.max() >= transforms.CODES:
            raise DatasetError(f"{path} does not fit dataset.json", hint=REBUILD)
    wanted = shape.side > 0 and shape.demonstrations > 0
    return Drawing(shape, codes, Demonstrations(root, shape.side) if wanted else None)
