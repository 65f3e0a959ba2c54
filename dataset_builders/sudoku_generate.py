"""Generate the puzzles of one split, in parts that survive a kill.

Candidate i of a split is a function of (seed, split, i) and the flags. The split is the first N candidates, in the
order of i, that differ from all before them; which worker made which part, and when, cannot change that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset_builders import sudoku_engine as engine
from dataset_builders.builder_cli import Build, Progress
from dataset_builders.parts import PartStore, run_parallel
from trm_cli.data import counter_rng
from trm_cli.errors import DatasetError

if TYPE_CHECKING:
    from dataset_builders.sudoku import Settings

PART_SIZE = 128
ATTEMPTS = 20_000
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
    work: Build, settings: Settings, split: str, count: int, workers: int, progress: Progress, before: int
) -> Puzzles:
    """Return `count` distinct puzzles. `before` items of the progress belong to earlier work. Raises DatasetError."""
    store = PartStore(work.parts)
    ranges = _ranges(0, count)
    drawn = count
    while True:
        found = _complete(store, settings, split, ranges, workers, progress, before, count)
        kept = _first_distinct(found.puzzles, count)
        if len(kept) == count:
            return found.take(kept)
        if drawn > _DRAWS_PER_PUZZLE * count + 10_000:
            raise DatasetError(
                f"{count} different {split} puzzles were asked for, but {drawn} draws gave only {len(kept)}: "
                "there are hardly more with these clues and ratings",
                hint=f"ask for at most {len(kept)}, or for another number of clues",
            )
        # As many again as are missing, but at least a tenth: near the end most draws repeat what is there.
        extra = max(count - len(kept), count // 10, PART_SIZE)
        ranges += _ranges(drawn, drawn + extra)
        drawn += extra


def _ranges(start: int, stop: int) -> list[tuple[int, int]]:
    return [(first, min(first + PART_SIZE, stop)) for first in range(start, stop, PART_SIZE)]


def _complete(
    store: PartStore,
    settings: Settings,
    split: str,
    ranges: list[tuple[int, int]],
    workers: int,
    progress: Progress,
    before: int,
    count: int,
) -> Puzzles:
    """Make the parts that are missing and return all of them in order."""
    parts = {item: store.read(_name(split, item)) for item in ranges}
    done = sum(stop - start for (start, stop), part in parts.items() if part is not None)
    board = engine.make_board(*settings.box)

    def make(item: tuple[int, int]) -> dict[str, NDArray[np.generic]]:
        arrays = _make_part(board, settings, split, item)
        store.write(_name(split, item), arrays)
        return arrays

    for item, arrays in run_parallel(make, [item for item in ranges if parts[item] is None], workers):
        parts[item] = arrays
        done += item[1] - item[0]
        progress.report(before + min(done, count))
    whole = [part for part in parts.values() if part is not None]
    return Puzzles(*(np.concatenate([part[name] for part in whole]) for name in Puzzles._fields))


def _name(split: str, item: tuple[int, int]) -> str:
    return f"{split}_{item[0]:09d}_{item[1]:09d}"


def _make_part(
    board: engine.Board, settings: Settings, split: str, item: tuple[int, int]
) -> dict[str, NDArray[np.generic]]:
    keys = counter_rng.keys(settings.seed, f"builder/sudoku/{split}", np.arange(*item))
    puzzles, solutions, ratings, made = engine.generate(
        board, keys, settings.clues, settings.difficulty, split == "test", ATTEMPTS
    )
    if not made.all():
        raise DatasetError(
            f"no {split} puzzle with {_words(settings)} was found in {ATTEMPTS:,} attempts",
            hint="widen the clues or the difficulty",
        )
    return {"puzzles": puzzles, "solutions": solutions, "ratings": ratings}


def _words(settings: Settings) -> str:
    (least, most), (low, high) = settings.clues, settings.difficulty
    clues = "as few clues as possible" if most == 0 else f"{least} to {most} clues"
    return f"{clues} and a rating of at least {low}" + (f" and at most {high}" if high < 2**30 else "")


def _first_distinct(puzzles: NDArray[np.uint8], count: int) -> NDArray[np.intp]:
    """Return the indices of the first `count` puzzles that differ from all before them, rising."""
    rows = np.ascontiguousarray(puzzles).view(np.dtype((np.void, puzzles.shape[1]))).ravel()
    _, first = np.unique(rows, return_index=True)
    return np.asarray(np.sort(first)[:count])
