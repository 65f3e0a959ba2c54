"""Generate the puzzles of one split, in parts that survive a kill.

Candidate i of a split is a function of (seed, split, i) and the flags. The split is the first N candidates, in the
order of i, that differ from all before them; which worker made which part, and when, cannot change that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataset_builders import sudoku_engine as engine
from dataset_builders.builder_cli import Build
from dataset_builders.parts import Arrays, PartStore, run_parallel
from trm_cli.data import counter_rng
from trm_cli.errors import DatasetError

if TYPE_CHECKING:
    from dataset_builders.sudoku import Settings

Range: TypeAlias = tuple[int, int]

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
    work: Build, settings: Settings, split: str, count: int, workers: int, report: Callable[[int], None]
) -> Puzzles:
    """Return `count` distinct puzzles; `report` is told how many there are. Raises DatasetError."""
    store = PartStore(work.parts)
    ranges = _ranges(0, count)
    drawn = count
    parts: dict[Range, Arrays] = {}
    while True:
        _complete(store, settings, split, ranges, parts, workers, lambda done: report(min(done, count)))
        found = _join([parts[item] for item in ranges])
        kept = _first_distinct(found.puzzles, count)
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
        ranges += _ranges(drawn, drawn + extra)
        drawn += extra


def _ranges(start: int, stop: int) -> list[Range]:
    return [(first, min(first + PART_SIZE, stop)) for first in range(start, stop, PART_SIZE)]


def _join(parts: Sequence[Arrays]) -> Puzzles:
    puzzles, solutions, ratings = (np.concatenate([part[name] for part in parts]) for name in Puzzles._fields)
    return Puzzles(puzzles.astype(np.uint8), solutions.astype(np.uint8), ratings.astype(np.int32))


def _complete(
    store: PartStore,
    settings: Settings,
    split: str,
    ranges: Sequence[Range],
    parts: dict[Range, Arrays],
    workers: int,
    report: Callable[[int], None],
) -> None:
    """Add the parts that are missing in `parts`: read where they were made before, made otherwise."""
    board = engine.make_board(*settings.box)
    stop = threading.Event()
    missing = []
    for item in ranges:
        if item not in parts:
            stored = store.read(_name(split, item))
            if stored is None:
                missing.append(item)
            else:
                parts[item] = stored

    def make(item: Range) -> Arrays:
        arrays = _make_part(board, settings, split, item, stop)
        store.write(_name(split, item), arrays)
        return arrays

    done = sum(stop - start for start, stop in parts)
    report(done)
    try:
        for item, arrays in run_parallel(make, missing, workers):
            parts[item] = arrays
            done += item[1] - item[0]
            report(done)
    finally:
        # Compiled code does not notice Ctrl-C; the threads that are still in it look at this.
        stop.set()


def _name(split: str, item: Range) -> str:
    return f"{split}_{item[0]:09d}_{item[1]:09d}"


def _make_part(board: engine.Board, settings: Settings, split: str, item: Range, stop: threading.Event) -> Arrays:
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


def _words(settings: Settings) -> str:
    (least, most), (low, high) = settings.clues, settings.difficulty
    clues = "as few clues as possible" if most == 0 else f"{least} to {most} clues"
    return f"{clues} and a rating of at least {low}" + (f" and at most {high}" if high < 2**30 else "")


def _first_distinct(puzzles: NDArray[np.uint8], count: int) -> NDArray[np.intp]:
    """Return the indices of the first `count` puzzles that differ from all before them, rising."""
    rows = np.ascontiguousarray(puzzles).view(np.dtype((np.void, puzzles.shape[1]))).ravel()
    _, first = np.unique(rows, return_index=True)
    return np.asarray(np.sort(first)[:count])
