"""Read single samples of a dataset for display: grids, boards, text, pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.files.metadata import DatasetMetadata, read_metadata
from trm_cli.data.inspection import spread
from trm_cli.data.puzzles.dataset import open_dataset
from trm_cli.data.puzzles.kinds import kind_of
from trm_cli.data.stream.records import GRID, TEXT
from trm_cli.data.stream.shape import StreamShape, stream_shape
from trm_cli.data.stream.storage.plan import KIND as STREAM
from trm_cli.data.stream.storage.shard_file import RecordShard
from trm_cli.data.stream.storage.store import ChunkStore
from trm_cli.data.stream.vocabulary import BOARD_SIDE
from trm_cli.errors import DatasetError

Cells = NDArray[np.integer]


@dataclass(frozen=True)
class GridSample:
    """Input and output of a puzzle of colours 0..9, each [h, w]."""

    title: str
    given: Cells
    wanted: Cells


@dataclass(frozen=True)
class BoardSample:
    """A board of symbols [h, w]: what is given (blank where it is to be found) and the answer. box: rows, columns."""

    title: str
    given: NDArray[np.str_]
    wanted: NDArray[np.str_]
    box: tuple[int, int] | None


@dataclass(frozen=True)
class TextSample:
    """A text as it was stored."""

    title: str
    text: str


@dataclass(frozen=True)
class PictureSample:
    """Pixels [3, h, w] with a label."""

    title: str
    pixels: NDArray[np.uint8]
    label: str


Sample = GridSample | BoardSample | TextSample | PictureSample


def read_samples(root: str | Path, split: str, count: int) -> list[Sample]:
    """Return `count` samples, evenly spread over a split (of an unfinished stream: over what is there)."""
    metadata = read_metadata(root, split)
    if metadata.kind == STREAM:
        shape = stream_shape(metadata, BOARD_SIDE, str(root))
        return _from_stream(Path(root), split, count, shape)
    data = open_dataset([root], split, verify=False)
    samples: list[Sample] = []
    for place in spread(data.eval_rows, count).tolist():
        batch = data.eval_batch(place, 1)
        title = f"{split} {place:,}, puzzle {int(batch['puzzle_identifiers'][0])}"
        samples.append(_from_tokens(title, metadata, np.asarray(batch["inputs"][0]), np.asarray(batch["labels"][0])))
    return samples


def _from_stream(root: Path, split: str, count: int, shape: StreamShape) -> list[Sample]:
    store = ChunkStore(root, split)
    if not store.ready:
        raise DatasetError(f"{root}: no chunk of the {split} split is finished yet")
    kinds = np.concatenate([np.asarray(store.shard(chunk).kind) for chunk in range(store.ready)])
    ends = np.cumsum([chunk.records for chunk in store.chunks[: store.ready]])
    samples: list[Sample] = []
    for place in _of_each_kind(kinds, count):
        chunk = int(np.searchsorted(ends, place, side="right"))
        shard = store.shard(chunk)
        samples.append(_from_record(split, shard, place - store.chunks[chunk].first, shape))
    return samples


def _of_each_kind(kinds: Cells, count: int) -> list[int]:
    """Return `count` places of kinds [n] in order: as many of each kind as of the others, evenly spread."""
    places: list[int] = []
    present = np.unique(kinds).tolist()
    for number, kind in enumerate(present):
        of_kind = np.flatnonzero(kinds == kind)
        share = (count - len(places)) // (len(present) - number)
        places += of_kind[spread(len(of_kind), share)].tolist()
    return sorted(places)


def _from_record(split: str, shard: RecordShard, row: int, shape: StreamShape) -> Sample:
    kind, content = int(shard.kind[row]), np.frombuffer(shard.payloads(np.array([row]))[0], np.uint8)
    title = f"{split} {shard.first + row:,}"
    if kind == GRID:
        height, width, *answer = (int(side) for side in shard.shape[row])
        given, wanted = content[: height * width], content[height * width :]
        return GridSample(
            f"{title}, task {int(shard.group[row])}", given.reshape(height, width), wanted.reshape(answer)
        )
    if kind == TEXT:
        return TextSample(title, content.tobytes().decode("utf-8", "replace"))
    label = int(shard.label[row])
    if shape.picture is None or len(content) != shape.picture_bytes or label >= len(shape.labels):
        raise DatasetError(f"{title} is no picture of the size and the classes that dataset.json states")
    channels, side = shape.picture
    pixels = np.broadcast_to(content.reshape(channels, side, side), (3, side, side))
    return PictureSample(title, pixels, shape.labels[label])


def _from_tokens(title: str, metadata: DatasetMetadata, inputs: Cells, labels: Cells) -> Sample:
    kind, side = kind_of(metadata), round(metadata.seq_len**0.5)
    # Where a label is ignored the input says what stands there.
    answers = np.where(labels < 0, inputs, labels)
    if kind.drawn == "text" or side * side != metadata.seq_len:
        return TextSample(title, _as_text(metadata, inputs))
    if kind.drawn == "grid":
        return GridSample(title, _crop(inputs.reshape(side, side)), _crop(answers.reshape(side, side)))
    table = np.array(list(kind.symbols.ljust(metadata.vocab_size, "?")))
    box = metadata.extra.get("box")
    lines = (int(box[0]), int(box[1])) if isinstance(box, list) and len(box) == 2 else None
    return BoardSample(title, table[inputs].reshape(side, side), table[answers].reshape(side, side), lines)


def _as_text(metadata: DatasetMetadata, tokens: Cells) -> str:
    if metadata.extra.get("tokens", "bytes") != "bytes" or metadata.vocab_size != 258:
        return " ".join(str(int(token)) for token in tokens)
    ended = bytes((tokens[tokens >= 2] - 2).astype(np.uint8))
    return ended.decode("utf-8", "replace")


def _crop(tokens: Cells) -> Cells:
    """Return the colours of a token grid without padding and end marks; an empty grid becomes one black cell."""
    colours = tokens >= 2
    rows, columns = np.flatnonzero(colours.any(axis=1)), np.flatnonzero(colours.any(axis=0))
    if not len(rows):
        return np.zeros((1, 1), dtype=np.int64)
    return np.maximum(tokens[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] - 2, 0)
