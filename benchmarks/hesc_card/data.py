"""The data of the card's rows: a stream dataset to train on, examples to choose settings by, and held-out ones.

Held-out examples are never in the dataset, and none of them equals a row that trains (grids: not even up to symmetry
and colours). Everything is a function of the numbers below and of what this Python and scikit-learn ship.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.hesc_card.digits import augmented, digits, write_pictures
from benchmarks.hesc_card.examples import Examples, grid_examples, picture_examples, text_examples
from benchmarks.hesc_card.family import Task
from benchmarks.hesc_card.grids import Sides
from benchmarks.hesc_card.write_tasks import Drawn, draw_pairs, write_tasks
from dataset_builders.lib.text.named_sources import stdlib_files
from dataset_builders.lib.text.stories import story
from dataset_builders.streaming_builder import main as build
from trm_cli.data.puzzles.identifier_map import read_identifier_map
from trm_cli.data.stream.dataset import StreamDataset, open_stream

#: Demonstrations that an unseen task shows.
_SHOWN = 3


@dataclass(frozen=True)
class Data:
    """train: the dataset at `path`; chosen_on, held_out: examples by kind (`grids`, `text`, `pictures`); documents:
    the texts that train, for models that count."""

    path: Path
    train: StreamDataset
    chosen_on: Mapping[str, Examples]
    held_out: Mapping[str, Examples]
    documents: tuple[bytes, ...] = ()

    @property
    def checksum(self) -> str:
        """Of all training records and all examples."""
        found = hashlib.sha256(self.train.fingerprint.encode())
        for examples in (*self.chosen_on.values(), *self.held_out.values()):
            for name in sorted(examples.batch):
                found.update(np.ascontiguousarray(examples.batch[name]).tobytes())
        return found.hexdigest()[:16]


def _built(root: Path, flags: Sequence[str]) -> StreamDataset:
    """Build a dataset unless it is there."""
    code = build(["--output-dir", str(root), "--workers", "1", "--test-share", "0.001", *flags])
    if code:
        raise SystemExit(code)
    return open_stream(root, "train", 30)


def _identifiers(dataset: StreamDataset) -> dict[str, int]:
    """The identifier of each task, not augmented."""
    metadata = dataset.metadata
    known = read_identifier_map(dataset.paths, metadata.kind or "", metadata.num_puzzle_identifiers)
    assert known is not None
    found: dict[str, int] = {}
    for identifier, owner in enumerate(known.owners.tolist()):
        if identifier and owner >= 0:
            found.setdefault(known.names[owner], identifier)
    return found


# --- Grids ---


@dataclass(frozen=True)
class Known:
    """Tasks that train, each with a row of its own: `pairs` of each train, the same task's other pairs are asked."""

    tasks: Callable[[], Mapping[str, Task]]
    sides: Sides
    pairs: int
    chosen: int = 40
    held_out: int = 400

    def source(self, folder: Path) -> list[str]:
        """Write the tasks; flags of the builder."""
        write_tasks(folder, self.tasks(), pairs=self.pairs, tests=1, allowed=self.sides, seed=0, subset="evaluation")
        return ["--sources", f"arc:{folder}", "--subsets", "evaluation", "--demonstrations", "0"]

    def examples(self, dataset: StreamDataset) -> tuple[Examples, Examples]:
        """Those to choose by, and the held-out ones."""
        identifiers = _identifiers(dataset)
        chosen, held = {}, {}
        for name, task in self.tasks().items():
            drawn = draw_pairs(name, task, self.pairs + self.chosen + self.held_out, self.sides, 0)
            asked = drawn[self.pairs :]
            chosen[name] = (identifiers[name], asked[: self.chosen], ())
            held[name] = (identifiers[name], asked[self.chosen :], ())
        return grid_examples(dataset.shape, chosen), grid_examples(dataset.shape, held)


@dataclass(frozen=True)
class Unseen:
    """Many tasks of each family train; other tasks of the same families are asked, shown by three pairs alone."""

    tasks: Callable[[int, int], Mapping[str, Task]]
    sides: Sides
    trained: int
    pairs: int
    chosen: int = 3
    held_out: int = 20

    def source(self, folder: Path) -> list[str]:
        """Write the tasks; flags of the builder."""
        tasks = self.tasks(0, self.trained)
        write_tasks(folder, tasks, pairs=self.pairs, tests=1, allowed=self.sides, seed=0, subset="evaluation")
        return [
            "--sources",
            f"arc:{folder}",
            "--subsets",
            "evaluation",
            "--demonstrations",
            str(_SHOWN),
            "--augment",
            "--augmentations",
            "20",
        ]

    def examples(self, dataset: StreamDataset) -> tuple[Examples, Examples]:
        """Those to choose by, and the held-out ones; a task is asked once."""
        return self._asked(dataset, 1, self.chosen), self._asked(dataset, 2, self.held_out)

    def _asked(self, dataset: StreamDataset, seed: int, count: int) -> Examples:
        rows: dict[str, tuple[int, Drawn, Drawn]] = {}
        for name, task in self.tasks(seed, count).items():
            drawn = draw_pairs(f"{name} of {seed}", task, _SHOWN + 1, self.sides, seed)
            rows[name] = (0, drawn[_SHOWN:], drawn[:_SHOWN])
        found = grid_examples(dataset.shape, rows)
        families = tuple(dict.fromkeys(name.rpartition("-")[0] for name in found.names))
        groups = np.array([families.index(found.names[group].rpartition("-")[0]) for group in found.groups])
        return Examples(found.batch, families, groups)


# --- Text ---


@dataclass(frozen=True)
class Texts:
    """Documents: (those that train, those to choose by, the held-out ones)."""

    documents: Callable[[], tuple[list[bytes], list[bytes], list[bytes]]]

    def source(self, folder: Path) -> list[str]:
        """Write the documents; flags of the builder."""
        folder.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps({"text": document.decode()}) for document in self.documents()[0])
        (folder / "documents.jsonl").write_text("\n".join(lines))
        return ["--sources", f"text:{folder}", "--text-window", "256"]

    def examples(self, dataset: StreamDataset) -> tuple[Examples, Examples]:
        """Those to choose by, and the held-out ones."""
        _, chosen, held_out = self.documents()
        return text_examples(dataset.shape, chosen), text_examples(dataset.shape, held_out)


def stories() -> tuple[list[bytes], list[bytes], list[bytes]]:
    """The built-in grammar's first 4,000 train, as they always have; 100 and 300 others, none of which trains."""
    train = [story(0, index).encode() for index in range(4_000)]
    others = [text for text in (story(1, index).encode() for index in range(500)) if text not in set(train)]
    return train, others[:100], others[100:400]


def python_modules() -> tuple[list[bytes], list[bytes], list[bytes]]:
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


# --- Pictures ---


@dataclass(frozen=True)
class Digits:
    """scikit-learn's digits, official halves. part: what of the first half trains, the rest is to choose by; None: all
    of it. copies: of each picture, drawn anew by small turns, scales, shifts and bends."""

    part: int | None
    copies: int

    def source(self, folder: Path) -> list[str]:
        """Write the pictures; flags of the builder."""
        (pictures, labels), _ = digits()
        pictures, labels = augmented(pictures[: self.part], labels[: self.part], self.copies, seed=0)
        write_pictures(folder, pictures, labels)
        return ["--sources", f"images:{folder}", "--picture-channels", "1", "--picture-side", "8"]

    def examples(self, dataset: StreamDataset) -> tuple[Examples, Examples]:
        """Those to choose by (of what trains, where all trains), and the held-out half."""
        (pictures, labels), held_out = digits()
        rest = slice(self.part or 800, None)
        return picture_examples(dataset.shape, pictures[rest], labels[rest].tolist()), _pictures(dataset, held_out)


def _pictures(dataset: StreamDataset, found: tuple[NDArray[np.uint8], NDArray[np.int64]]) -> Examples:
    return picture_examples(dataset.shape, found[0], found[1].tolist())


Source = Known | Unseen | Texts | Digits


def prepare(folder: Path, sources: Mapping[str, Source]) -> Data:
    """Write and build the data of a row in a folder, once. sources: by kind."""
    flags: dict[str, list[str]] = {}
    for kind, source in sources.items():
        for flag, values in _by_flag(source.source(folder / kind)).items():
            flags.setdefault(flag, []).extend(values)
    train = _built(folder / "dataset", [word for flag, values in flags.items() for word in (flag, *values)])
    chosen: dict[str, Examples] = {}
    held_out: dict[str, Examples] = {}
    documents: tuple[bytes, ...] = ()
    for kind, source in sources.items():
        chosen[kind], held_out[kind] = source.examples(train)
        if isinstance(source, Texts):
            documents = tuple(source.documents()[0])
    return Data(folder / "dataset", train, chosen, held_out, documents)


def _by_flag(words: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            found[word] = []
        else:
            found[list(found)[-1]].append(word)
    return found
