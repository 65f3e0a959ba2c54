"""Turn documents into the text records of a stream dataset: windows of their bytes. Standard library only."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from trm_cli.data.files.metadata import SPLITS
from trm_cli.data.stream.records import TEXT, Record, held_out_step, text_window, window_count
from trm_cli.errors import DatasetError

from ..digest_set import DigestSet
from ..held_out import is_test
from ..text.fields import TextDocument
from .document_file import DocumentFile
from .sources import Origin


@dataclass(frozen=True)
class Documents:
    """The documents of one split: where each begins and its bytes; records of all documents up to each."""

    starts: array[int]
    lengths: array[int]
    records: array[int]
    step: int  # tokens from one window to the next

    @classmethod
    def none(cls, step: int) -> Documents:
        """Return an empty split."""
        return cls(array("q"), array("q"), array("q"), step)

    @property
    def count(self) -> int:
        """Records of the split."""
        return self.records[-1] if self.records else 0

    def append(self, start: int, length: int, window: int) -> None:
        """Add a document."""
        self.starts.append(start)
        self.lengths.append(length)
        self.records.append(self.count + window_count(length, window, self.step))


@dataclass(frozen=True)
class TextSource:
    """Documents in a file; a record is a window of a document."""

    origin: Origin
    file: DocumentFile
    documents: Mapping[str, Documents]
    window: int
    dropped: Mapping[str, int]
    record_kind: ClassVar[int] = TEXT

    def count(self, split: str) -> int:
        """Return the number of windows."""
        return self.documents[split].count

    def symbols(self, split: str) -> int:
        """Return all bytes, and an end mark a document."""
        found = self.documents[split]
        return sum(found.lengths) + len(found.lengths)

    def sides(self, split: str) -> Sequence[int]:  # noqa: ARG002
        """Return nothing: no record is a grid."""
        return ()

    def record(self, split: str, index: int) -> Record:
        """Return one window."""
        found = self.documents[split]
        number = bisect_right(found.records, index)
        start, before = found.starts[number], found.records[number - 1] if number else 0
        window = text_window(found.lengths[number], self.window, found.step, index - before)
        return Record(TEXT, self.file.read(start + window.start, start + window.stop), flags=window.flags)


@dataclass(frozen=True)
class Found:
    """How a text source was found; what `Origin` holds before the content is read."""

    name: str
    kind: str
    location: str
    licence: str
    note: str = ""


def text_source(
    found: Found, documents: Iterable[TextDocument], seed: int, test_share: float, window: int, kept: Path | None
) -> TextSource:
    """Read documents, keep each text once, and cut it into windows of `window` tokens.

    kept: the file that holds the texts while records are made of them; None for a plan. Raises DatasetError.
    """
    file = DocumentFile(kept)
    splits = {"train": Documents.none(window), "test": Documents.none(held_out_step(window))}
    dropped = {"empty documents": 0, "repeated documents": 0}
    digests = DigestSet()
    total = hashlib.sha256()
    for document in documents:
        text = _bytes_of(document)
        digest = hashlib.sha256(text).digest()
        if not text.strip():
            dropped["empty documents"] += 1
        elif not digests.add(digest):
            dropped["repeated documents"] += 1
        else:
            total.update(digest)
            split = "test" if is_test(digest, seed, test_share) else "train"
            splits[split].append(file.size, len(text), window)
            file.append(text)
    file.end()
    note = _divide(splits, window)
    if not len(digests):
        raise DatasetError(f"{found.name}: {found.location} holds no document")
    notes = "; ".join(part for part in (found.note, note) if part)
    origin = Origin(found.name, found.kind, found.location, found.licence, total.hexdigest(), notes)
    return TextSource(origin, file, splits, window, {key: count for key, count in dropped.items() if count})


def _bytes_of(document: TextDocument) -> bytes:
    try:
        return document.text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DatasetError(f"{document.where}: holds half of a character (a lone surrogate)") from error


def _divide(splits: dict[str, Documents], window: int) -> str:
    """Let everything train where nothing would; returns what is to be said where a split is empty."""
    numbers = {split: len(splits[split].lengths) for split in SPLITS}
    if not numbers["train"]:
        held, splits["train"], splits["test"] = (
            splits["test"],
            Documents.none(window),
            Documents.none(splits["test"].step),
        )
        for start, length in zip(held.starts, held.lengths, strict=True):
            splits["train"].append(start, length, window)
    if numbers["train"] and numbers["test"]:
        return ""
    count = sum(numbers.values())
    return f"its {f'{count} documents' if count > 1 else 'one document'} all train: the test split has none of them"
