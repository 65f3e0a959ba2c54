"""Define what the batches of a stream dataset look like, as `dataset.json` says it. Standard library only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.stream.vocabulary import BOARD_SIDE, FIRST_LABEL
from trm_cli.errors import REBUILD, DatasetError

#: Format of shards and batches; another one cannot be read.
STREAM_VERSION = 2
# Bounds of what a dataset may say of itself.
LARGEST_WINDOW, MOST_LABELS, MOST_PAIRS = 1 << 14, 1 << 15, 64
SMALLEST_PICTURE, LARGEST_PICTURE = 8, 224


@dataclass(frozen=True)
class StreamShape:
    """What the batches of a stream dataset look like: which fields they have, of which size.

    side: cells along one side of the board, the longest side of the dataset's grids that fit; 0 without grids.
    text_window: tokens of a text; 0 without text. picture: channels and side in pixels; None without pictures.
    labels: the classes of the pictures. demonstrations: other pairs of its task that a grid comes with, at most.
    """

    side: int = 0
    text_window: int = 0
    picture: tuple[int, int] | None = None
    labels: tuple[str, ...] = ()
    demonstrations: int = 0

    @property
    def cells(self) -> int:
        """Cells of the board."""
        return self.side**2

    @property
    def target_length(self) -> int:
        """Places of a target."""
        return max(self.cells, self.text_window, 1)

    @property
    def vocab_size(self) -> int:
        """Tokens and labels."""
        return FIRST_LABEL + len(self.labels)

    @property
    def picture_bytes(self) -> int:
        """Bytes of a stored picture, 0 without pictures."""
        return 0 if self.picture is None else self.picture[0] * self.picture[1] ** 2

    def to_extra(self, sides: Sequence[int]) -> dict[str, object]:
        """Return what `dataset.json` says of it. sides: the longest sides of all grids of the dataset, each once."""
        return {
            "stream_version": STREAM_VERSION,
            "board_sides": list(sides),
            "text_window": self.text_window,
            "picture": None if self.picture is None else [self.picture[0], self.picture[1], self.picture[1]],
            "labels": list(self.labels),
            "demonstrations": self.demonstrations,
        }


def stream_shape(metadata: DatasetMetadata, board_side: int, source: str) -> StreamShape:
    """Return the shape of a dataset's batches on a board of at most `board_side` cells a side. Raises DatasetError."""
    require_version(metadata, source)
    extra = metadata.extra

    def wrong(key: str) -> DatasetError:
        return DatasetError(f"{source}: dataset.json says {key} {extra.get(key)!r:.100}", hint=REBUILD)

    def whole(key: str, most: int) -> int:
        value = extra.get(key, 0)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise wrong(key)
        return value

    sides, picture, labels = extra.get("board_sides"), extra.get("picture"), extra.get("labels")
    if not _are_whole(sides, 1, BOARD_SIDE):
        raise wrong("board_sides")
    if picture is not None and not (
        _are_whole(picture, 1, LARGEST_PICTURE)
        and len(picture) == 3
        and picture[0] in (1, 3)
        and SMALLEST_PICTURE <= picture[1] == picture[2]
    ):
        raise wrong("picture")
    if (
        not isinstance(labels, list)
        or len(labels) > MOST_LABELS
        or not all(isinstance(label, str) for label in labels)
        or bool(labels) != (picture is not None)
    ):
        raise wrong("labels")
    shape = StreamShape(
        max((side for side in sides if side <= board_side), default=0),
        whole("text_window", LARGEST_WINDOW),
        None if picture is None else (picture[0], picture[1]),
        tuple(labels),
        whole("demonstrations", MOST_PAIRS),
    )
    if metadata.vocab_size != shape.vocab_size:
        raise DatasetError(f"{source}: dataset.json says vocab_size {metadata.vocab_size}, not {shape.vocab_size}")
    return shape


def _are_whole(values: object, lowest: int, highest: int) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(
        isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest for value in values
    )


def require_version(metadata: DatasetMetadata, source: str) -> None:
    """Raise DatasetError for a stream dataset of another format than this version reads."""
    version = metadata.extra.get("stream_version", 1)
    if version != STREAM_VERSION:
        raise DatasetError(
            f"{source} is a stream dataset of format {version!r:.20}, and this version of trm reads format "
            f"{STREAM_VERSION}",
            hint=REBUILD,
        )
