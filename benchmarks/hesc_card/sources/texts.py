"""Text for the card: the built-in stories, and the standard library's Python."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.hesc_card.sources.examples import Examples, text_examples
from dataset_builders.lib.text.named_sources import stdlib_files
from dataset_builders.lib.text.stories import story
from trm_cli.data.stream.dataset import StreamDataset

Documents = tuple[list[bytes], list[bytes], list[bytes]]


def write_documents(folder: Path, documents: list[bytes]) -> None:
    """Write texts as lines of JSON, which the builder reads."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"text": document.decode()}) for document in documents)
    (folder / "documents.jsonl").write_text("\n".join(lines))


@dataclass(frozen=True)
class Texts:
    """Documents: (those that train, those to choose by, the held-out ones)."""

    documents: Callable[[], Documents]

    def source(self, folder: Path) -> list[str]:
        """Write the documents; flags of the builder."""
        write_documents(folder, self.documents()[0])
        return ["--sources", f"text:{folder}", "--text-window", "256"]

    def examples(self, dataset: StreamDataset) -> tuple[Examples, Examples]:
        """Those to choose by, and the held-out ones."""
        _, chosen, held_out = self.documents()
        return text_examples(dataset.shape, chosen), text_examples(dataset.shape, held_out)


def stories() -> Documents:
    """The built-in grammar's first 4,000 train, as they always have; 100 and 300 others, none of which trains."""
    train = [story(0, index).encode() for index in range(4_000)]
    others = [text for text in (story(1, index).encode() for index in range(500)) if text not in set(train)]
    return train, others[:100], others[100:400]


def python_modules() -> Documents:
    """The standard library's modules in the order of their checksums, up to 100 kB each: 250 kB are held out, 100 kB
    to choose by, 6 MB train."""
    texts = [file.read_bytes() for file in stdlib_files()]
    texts = sorted({text for text in texts if 0 < len(text) < 100_000 and _is_utf8(text)}, key=_digest)
    held_out, chosen, train = (list(_taken(iter_, size)) for iter_, size in _shares(iter(texts)))
    return train, chosen, held_out


def _shares(texts: Iterator[bytes]) -> Iterator[tuple[Iterator[bytes], int]]:
    for size in (250_000, 100_000, 6_000_000):
        yield texts, size


def _taken(texts: Iterator[bytes], size: int) -> Iterator[bytes]:
    while size > 0 and (text := next(texts, None)) is not None:
        size -= len(text)
        yield text


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
