"""Views of a puzzle: the same puzzle under a symmetry of its kind, from which an answer is carried back.

A network does not treat a puzzle and its symmetries exactly alike, so that several views give several answers. View 0
is the puzzle itself; which symmetry another view is follows from (seed, place of the row, number of the view).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trm_cli.data.augmentation import maze, sudoku
from trm_cli.data.augmentation.drawing import Index, IntArray
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.puzzles.families import Sudoku
from trm_cli.data.puzzles.kinds import kind_of


@dataclass(frozen=True)
class View:
    """One symmetry for each of B rows. tokens: new token of each token [B, V]; cells: source of each cell [B, S]."""

    tokens: IntArray
    cells: IntArray

    def of(self, rows: IntArray) -> IntArray:
        """Rows [B, S] as the view shows them; numbers below zero (labels that do not count) stay."""
        moved = np.take_along_axis(rows, self.cells, axis=1)
        seen = np.take_along_axis(self.tokens, np.maximum(moved, 0).astype(np.intp), axis=1)
        return np.where(moved < 0, moved, seen).astype(rows.dtype)

    def back(self, answers: IntArray) -> IntArray:
        """Answers [B, S] to what the view shows, as answers to the rows themselves: the inverse of `of`."""
        original = np.argsort(self.tokens, axis=1)
        found = np.empty_like(answers)
        np.put_along_axis(found, self.cells, np.take_along_axis(original, answers, axis=1).astype(found.dtype), axis=1)
        return found


@dataclass(frozen=True)
class Views:
    """The views of a kind of puzzle. count: how many different ones there are. draw: those of rows [B], one number."""

    count: int
    draw: Callable[[Index, int], View]


def views_of(metadata: DatasetMetadata, seed: int = 0) -> Views | None:
    """The views of a dataset's puzzles; None for a kind whose symmetries would need another row of the puzzle table."""
    typed = kind_of(metadata).typed(metadata)
    if typed is None:
        return None
    if isinstance(typed, Sudoku):
        most = 2**31 - 1
        settings = {"box": list(typed.box), "count": most, "seed": seed}
        symmetries = sudoku.SudokuAugmentation(settings, seq_len=metadata.seq_len)

        def boards(places: Index, number: int) -> View:
            return View(*symmetries.transforms(places, np.full(len(places), number)))

        return Views(most, boards)
    cells = maze.symmetry_cells(metadata.seq_len)

    def mazes(places: Index, number: int) -> View:
        tokens = np.tile(np.arange(metadata.vocab_size), (len(places), 1))
        return View(tokens, np.tile(cells[number], (len(places), 1)))

    return Views(len(cells), mazes)
