"""Rows of batches that are scored: held-out grids, texts and pictures, laid as a stream dataset lays its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.hesc_card.grids import Grid
from trm_cli.data.files.metadata import IGNORED_LABEL
from trm_cli.data.puzzles.dataset import Batch
from trm_cli.data.stream.records import held_out_step
from trm_cli.data.stream.rows import grid_row, picture_row
from trm_cli.data.stream.shape import StreamShape
from trm_cli.data.stream.vocabulary import EOS, FIRST_BYTE, PAD, START

Pairs = Sequence[tuple[Grid, Grid]]


@dataclass(frozen=True)
class Examples:
    """Rows to score. batch: fields [N, ...]; names: of the groups of rows; groups int [N]: which one each row is of."""

    batch: Batch
    names: tuple[str, ...]
    groups: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.groups)

    def parts(self, rows: int) -> Iterator[Batch]:
        """The rows in batches of at most `rows`."""
        for first in range(0, len(self), rows):
            yield {name: values[first : first + rows] for name, values in self.batch.items()}

    def without_pairs(self) -> Examples:
        """The same rows, their demonstrations taken away."""
        empty = {name: np.zeros_like(self.batch[name]) for name in ("pair_cells", "pair_size")}
        return Examples({**self.batch, **empty}, self.names, self.groups)


def joined(rows: Sequence[tuple[str, Batch]]) -> Examples:
    """Examples of single rows, each with the name of its group."""
    names = tuple(dict.fromkeys(name for name, _ in rows))
    batch = {field: np.concatenate([row[field] for _, row in rows]) for field in rows[0][1]}
    return Examples(batch, names, np.array([names.index(name) for name, _ in rows]))


def grid_examples(shape: StreamShape, tasks: Mapping[str, tuple[int, Pairs, Pairs]]) -> Examples:
    """Grids by group: name -> (identifier of the task, pairs that are asked, demonstrations)."""
    return joined(
        [
            (name, grid_row(shape, given, wanted, shown, identifier=identifier))
            for name, (identifier, asked, shown) in tasks.items()
            for given, wanted in asked
        ]
    )


def picture_examples(shape: StreamShape, pictures: NDArray[np.uint8], labels: Sequence[int]) -> Examples:
    """Pictures [N, h, w] with the numbers of their classes."""
    return joined(
        [("pictures", picture_row(shape, one[None], label)) for one, label in zip(pictures, labels, strict=True)]
    )


def text_examples(shape: StreamShape, documents: Sequence[bytes]) -> Examples:
    """Texts cut into overlapping windows: each byte and each end is scored once, after half a window at least."""
    return joined([("text", row) for document in documents for row in _windows(shape, document)])


def _windows(shape: StreamShape, document: bytes) -> Iterator[Batch]:
    window, step = shape.text_window, held_out_step(shape.text_window)
    tokens = np.array([START, *(byte + FIRST_BYTE for byte in document), EOS], np.int32)
    scored = 0
    for first in range(0, max(1, len(tokens) - 1 - (window - step)), step):
        read, asked = tokens[first : first + window], tokens[first + 1 : first + 1 + window]
        row: Batch = {
            "kind": np.ones(1, np.int32),
            "puzzle_identifiers": np.zeros(1, np.int32),
            "target": np.full((1, shape.target_length), IGNORED_LABEL, np.int32),
            "text": np.full((1, window), PAD, np.int32),
        }
        row["text"][0, : len(asked)] = read[: len(asked)]
        row["target"][0, scored - first : len(asked)] = asked[scored - first :]
        scored = first + len(asked)
        if shape.side:
            row["cells"], row["size"] = np.zeros((1, shape.cells), np.uint8), np.zeros((1, 4), np.uint8)
        if shape.picture is not None:
            row["picture"] = np.zeros((1, shape.picture[0], shape.picture[1], shape.picture[1]), np.uint8)
        yield row
