"""Generate the puzzles of one split, in parts that survive a kill.

Candidate i of a split is a function of (seed, split, i) and the flags. The split is the first N candidates, in the
order of i, that differ from all before them; which worker made which part, and when, cannot change that.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm_cli.data import counter_rng
from trm_cli.data.building.build_directory import Build
from trm_cli.data.building.builder_cli import Progress
from trm_cli.errors import DatasetError

from ..build_parts import Arrays, Range, complete_ranges
from . import engine
from .settings import NO_LIMIT, SudokuSettings

PART_SIZE = 128
ATTEMPTS = 50_000
_SLICE = 8  # puzzles between two looks at whether somebody wants to stop
_DRAWS_PER_PUZZLE = 20  # when that many candidates were not enough, more would hardly help


class Puzzles(NamedTuple):
    """Puzzles and solutions as digits [n, N*N] uint8 (0 blank), ratings [n] int32."""

    puzzles: NDArray[np.uint8]
    solutions: NDArray[np.uint8]
    ratings: NDArray[np.int32]

    def take(self, rows: NDArray[np.integer]) -> Puzzles:
        """Return the puzzles at `rows`, in that order."""
        return Puzzles(self.puzzles[rows], self.solutions[rows], self.ratings[rows])


def generate_split(
    work: Build, settings: SudokuSettings, split: str, count: int, workers: int, progress: Progress
) -> Puzzles:
    """Return `count` distinct puzzles. Raises DatasetError."""
    parts = make_parts(work, settings, split, (0, count), workers, progress)
    drawn = count
    while True:
        found = _join(parts)
        kept = first_distinct(found.puzzles, count)
        if len(kept) == count:
            return found.take(kept)
        if drawn > _DRAWS_PER_PUZZLE * count + 10_000:
            raise DatasetError(
                f"{count} different {split} puzzles were asked for, but {drawn} draws gave only {len(kept)}: "
                "there are hardly more with these clues and ratings",
                hint=f"ask for at most {len(kept)}, or for another number of clues",
            )
        # At least half as many again: near the end most draws repeat what is there.
        extra = max(count - len(kept), drawn // 2, PART_SIZE)
        parts += make_parts(work, settings, split, (drawn, drawn + extra), workers, progress)
        drawn += extra


def _join(parts: Sequence[Arrays]) -> Puzzles:
    puzzles, solutions, ratings = (np.concatenate([part[name] for part in parts]) for name in Puzzles._fields)
    return Puzzles(puzzles.astype(np.uint8), solutions.astype(np.uint8), ratings.astype(np.int32))


def make_parts(
    work: Build, settings: SudokuSettings, split: str, candidates: Range, workers: int, progress: Progress
) -> list[Arrays]:
    """Return the parts with these candidates of a split, in order: see `complete_ranges`."""
    stop = threading.Event()
    make = partial(_make_part, engine.make_board(*settings.box), settings, split, stop)
    try:
        progress.add(0)
        return complete_ranges(work, split, candidates, PART_SIZE, make, workers, progress)
    finally:
        # Compiled code does not notice Ctrl-C; the threads that are still in it look at this.
        stop.set()


def _make_part(board: engine.Board, settings: SudokuSettings, split: str, stop: threading.Event, item: Range) -> Arrays:
    keys = counter_rng.keys(settings.seed, f"builder/sudoku/{split}", np.arange(*item))
    slices = []
    for start in range(0, len(keys), _SLICE):
        if stop.is_set():
            raise CancelledError
        puzzles, solutions, ratings, made = engine.generate(
            board, keys[start : start + _SLICE], settings.clues, settings.difficulty, split == "test", ATTEMPTS
        )
        if not made.all():
            raise DatasetError(
                f"no {split} puzzle with {_words(settings)} was found in {ATTEMPTS:,} attempts",
                hint="widen the clues or the difficulty",
            )
        slices.append({"puzzles": puzzles, "solutions": solutions, "ratings": ratings})
    return dict(_join(slices)._asdict())


def _words(settings: SudokuSettings) -> str:
    (least, most), (low, high) = settings.clues, settings.difficulty
    clues = "as few clues as possible" if most == 0 else f"{least} to {most} clues"
    return f"{clues} and a rating of at least {low}" + (f" and at most {high}" if high < NO_LIMIT else "")


def first_distinct(puzzles: NDArray[np.uint8], count: int) -> NDArray[np.intp]:
    """Return the indices of the first `count` puzzles that differ from all before them, rising."""
    rows = np.ascontiguousarray(puzzles).view(np.dtype((np.void, puzzles.shape[1]))).ravel()
    _, first = np.unique(rows, return_index=True)
    return np.asarray(np.sort(first)[:count])
