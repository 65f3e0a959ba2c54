"""The data of the card's rows: a stream dataset to train on, examples to choose settings by, and held-out ones.

Held-out examples are never in the dataset, and none of them equals a row that trains (grids: not even up to symmetry
and colours). Everything is a function of the numbers below and of what this Python and scikit-learn ship.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from benchmarks.hesc_card.family import Task
from benchmarks.hesc_card.grids import Sides
from benchmarks.hesc_card.sources.examples import Examples, grid_examples
from benchmarks.hesc_card.write_tasks import Drawn, draw_pairs, key_of, write_tasks
from dataset_builders.streaming_builder import main as build
from trm_cli.data.puzzles.identifier_map import read_identifier_map
from trm_cli.data.stream.dataset import StreamDataset, open_stream

#: Demonstrations that an unseen task shows; in training one more, which is asked beside three others.
_SHOWN = 3


@dataclass(frozen=True)
class Data:
    """train: the dataset at `path`; chosen_on, held_out: examples by kind (`grids`, `text`, `pictures`)."""

    path: Path
    train: StreamDataset
    chosen_on: Mapping[str, Examples]
    held_out: Mapping[str, Examples]

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
            str(_SHOWN + 1),
            # Two trained tasks of one rule may share a small pair. What is asked here is drawn apart, below.
            "--allow-overlap",
            "--augment",
            "--augmentations",
            "20",
        ]

    def examples(self, dataset: StreamDataset) -> tuple[Examples, Examples]:
        """Those to choose by, and the held-out ones; a task is asked once."""
        return self._asked(dataset, 1, self.chosen), self._asked(dataset, 2, self.held_out)

    @cached_property
    def _trained(self) -> frozenset[object]:
        """What no pair that is asked or shown may equal."""
        tasks = self.tasks(0, self.trained).items()
        drawn = (draw_pairs(name, task, self.pairs + 1, self.sides, 0) for name, task in tasks)
        return frozenset(key_of(pair) for pairs in drawn for pair in pairs)

    def _asked(self, dataset: StreamDataset, seed: int, count: int) -> Examples:
        rows: dict[str, tuple[int, Drawn, Drawn]] = {}
        for name, task in self.tasks(seed, count).items():
            drawn = draw_pairs(f"{name} of {seed}", task, _SHOWN + 1, self.sides, seed, self._trained)
            rows[name] = (0, drawn[_SHOWN:], drawn[:_SHOWN])
        found = grid_examples(dataset.shape, rows)
        families = tuple(dict.fromkeys(name.rpartition("-")[0] for name in found.names))
        groups = np.array([families.index(found.names[group].rpartition("-")[0]) for group in found.groups])
        return Examples(found.batch, families, groups)


class Source(Protocol):
    """Where rows of one kind come from."""

    def source(self, folder: Path) -> list[str]:
        """Write what trains; flags of the builder."""

    def examples(self, dataset: StreamDataset) -> tuple[Examples, Examples]:
        """Those to choose by, and the held-out ones."""


def prepare(folder: Path, sources: Mapping[str, Source]) -> Data:
    """Write and build the data of a row in a folder, once. sources: by kind."""
    flags: dict[str, list[str]] = {}
    for kind, source in sources.items():
        for flag, values in _by_flag(source.source(folder / kind)).items():
            flags.setdefault(flag, []).extend(values)
    train = _built(folder / "dataset", [word for flag, values in flags.items() for word in (flag, *values)])
    chosen: dict[str, Examples] = {}
    held_out: dict[str, Examples] = {}
    for kind, source in sources.items():
        chosen[kind], held_out[kind] = source.examples(train)
    return Data(folder / "dataset", train, chosen, held_out)


def _by_flag(words: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            found[word] = []
        else:
            found[list(found)[-1]].append(word)
    return found
