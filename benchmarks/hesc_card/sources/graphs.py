"""Reachability told as text: a graph of 8 to 16 nodes, twenty questions whether a path leads from one to another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.hesc_card.grids import Random
from benchmarks.hesc_card.sources.examples import Examples, joined
from benchmarks.hesc_card.sources.texts import write_documents
from trm_cli.data.files.metadata import IGNORED_LABEL
from trm_cli.data.puzzles.dataset import Batch
from trm_cli.data.stream.dataset import StreamDataset
from trm_cli.data.stream.shape import StreamShape
from trm_cli.data.stream.vocabulary import FIRST_BYTE, PAD, START

#: Places of the graph: half of the window, so that thoughts about it are known before the first question.
GRAPH, QUESTIONS = 80, 20
WINDOW = 2 * GRAPH
_NODES = "abcdefghijklmnop"


def graph_text(chance: Random) -> bytes:
    """Edges such as `ab`, each a way from a to b; then `ac+` or `ac-`: there is a path, or there is none; as many of
    the one as of the other where the graph has both."""
    count = int(chance.integers(8, 17))
    names = [_NODES[i] for i in chance.permutation(len(_NODES))[:count]]
    edges = np.zeros((count, count), bool)
    for _ in range(int(1.3 * count)):
        start, end = chance.choice(count, 2, replace=False)
        edges[start, end] = True
    reached = edges.copy()
    for middle in range(count):
        reached |= reached[:, middle : middle + 1] & reached[middle]
    pairs = {wanted: np.argwhere((reached == wanted) & ~np.eye(count, dtype=bool)) for wanted in (True, False)}
    drawn = np.argwhere(edges)
    told = " ".join(names[start] + names[end] for start, end in chance.permutation(drawn)).ljust(GRAPH - 1)
    asked = []
    for _ in range(QUESTIONS):
        wanted = bool(chance.random() < 0.5)
        choice = pairs[wanted] if len(pairs[wanted]) else pairs[not wanted]
        start, end = choice[int(chance.integers(len(choice)))]
        asked.append(f"{names[start]}{names[end]}{'+' if reached[start, end] else '-'}")
    return (told + "".join(asked)).encode()


def graph_texts(seed: int, count: int) -> list[bytes]:
    """So many texts: a function of the seed."""
    chance = np.random.default_rng([seed, 77])
    return [graph_text(chance) for _ in range(count)]


def graph_examples(shape: StreamShape, texts: list[bytes]) -> Examples:
    """Texts of which the answers alone are asked."""
    rows: list[tuple[str, Batch]] = []
    for text in texts:
        tokens = np.array([START, *(byte + FIRST_BYTE for byte in text)], np.int32)
        read, target = np.full(shape.text_window, PAD, np.int32), np.full(shape.target_length, IGNORED_LABEL, np.int32)
        read[: len(text)] = tokens[:-1]
        answers = np.arange(GRAPH + 1, len(text), 3)  # the third byte of each question
        target[answers] = tokens[answers + 1]
        rows.append(
            (
                "questions",
                {
                    "kind": np.ones(1, np.int32),
                    "puzzle_identifiers": np.zeros(1, np.int32),
                    "text": read[None],
                    "target": target[None],
                },
            )
        )
    return joined(rows)


@dataclass(frozen=True)
class Graphs:
    """Graphs with their questions: so many texts train."""

    count: int

    def source(self, folder: Path) -> list[str]:
        """Write the texts; flags of the builder."""
        write_documents(folder, graph_texts(0, self.count))
        return ["--sources", f"text:{folder}", "--text-window", str(WINDOW)]

    def examples(self, dataset: StreamDataset) -> tuple[Examples, Examples]:
        """Those to choose by, and the held-out ones."""
        return graph_examples(dataset.shape, graph_texts(1, 100)), graph_examples(dataset.shape, graph_texts(2, 400))
