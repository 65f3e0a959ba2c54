"""Find which augmentations of an ARC task give the same task, exactly and without computing them.

An augmentation is one of 8 symmetries of the square times a permutation of the colours 1..9 (0 stays). Two of them
give the same task exactly when they differ by an element of the task's stabiliser: the (symmetry, colour map) pairs
that turn the task's set of pairs into itself. A task that shows k colours (0 aside) therefore has

    8 * 9! / (9 - k)! / |stabiliser|

distinct augmentations, itself among them. The stabiliser is found pair by pair: a colour map between two pairs
exists exactly when they agree after renaming colours by first occurrence, and is then determined.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import perm
from operator import itemgetter

from trm_cli.data import dihedral

from .tasks import Pair, Task, TaskGrid

MOVABLE_COLOURS = 9


@dataclass(frozen=True)
class PairPattern:
    """A pair with its colours renamed by first occurrence: equal patterns are one picture in other colours.

    key: sizes and renamed cells. colours: the original colours (0 aside) in order of first occurrence.
    """

    key: tuple[int, int, int, int, bytes]
    colours: bytes


@dataclass(frozen=True)
class TaskSymmetry:
    """The symmetry of a task, which decides whether two of its augmentations differ.

    colours: the colours of 1..9 that the task shows, ascending. stabiliser: (symmetry, where each of `colours` goes).
    """

    colours: tuple[int, ...]
    stabiliser: tuple[tuple[int, tuple[int, ...]], ...]

    @property
    def distinct(self) -> int:
        """Number of distinct augmentations, the task itself included."""
        return dihedral.COUNT * perm(MOVABLE_COLOURS, len(self.colours)) // len(self.stabiliser)


def transform_cells(grid: TaskGrid, symmetry: int) -> TaskGrid:
    """The grid under one of the eight symmetries, colours untouched."""
    cells = dihedral.source_cells(symmetry, grid.height, grid.width)
    # itemgetter of one index returns the item itself, not a tuple; of none, for an output that is unknown, nothing.
    moved = grid.cells if len(cells) < 2 else bytes(itemgetter(*cells)(grid.cells))
    return TaskGrid(*dihedral.shape(symmetry, grid.height, grid.width), moved)


def pattern_of(pair: Pair, symmetry: int) -> PairPattern:
    """The pattern of a pair after a symmetry."""
    grids = (transform_cells(pair.input, symmetry), transform_cells(pair.output, symmetry))
    cells = grids[0].cells + grids[1].cells
    colours = bytes(sorted(set(cells) - {0}, key=cells.index))
    names = bytearray(range(256))
    for name, colour in enumerate(colours, start=1):
        names[colour] = name
    sizes = (grids[0].height, grids[0].width, grids[1].height, grids[1].width)
    return PairPattern((*sizes, cells.translate(bytes(names))), colours)


def canonical_key(pair: Pair) -> tuple[int, int, int, int, bytes]:
    """One key for a pair and everything that symmetries and colour permutations make of it."""
    return min(pattern_of(pair, symmetry).key for symmetry in range(dihedral.COUNT))


def task_symmetry(task: Task) -> TaskSymmetry:
    """Colours and stabiliser of a task, over all its pairs as an unordered collection."""
    pairs = task.demonstrations + task.tests
    colours = tuple(sorted({cell for pair in pairs for grid in pair for cell in grid.cells} - {0}))
    patterns = [pattern_of(pair, 0) for pair in pairs]
    wanted = Counter(pattern.key for pattern in patterns)
    stabiliser: set[tuple[int, tuple[int, ...]]] = set()
    for symmetry in range(dihedral.COUNT):
        moved: list[PairPattern] = []
        for pair in pairs:
            pattern = pattern_of(pair, symmetry)
            if pattern.key not in wanted:
                break
            moved.append(pattern)
        if len(moved) == len(pairs) and Counter(pattern.key for pattern in moved) == wanted:
            stabiliser |= {(symmetry, tuple(m[c] for c in colours)) for m in _colour_maps(moved, patterns)}
    return TaskSymmetry(colours, tuple(sorted(stabiliser)))


def _colour_maps(sources: Sequence[PairPattern], targets: Sequence[PairPattern]) -> Iterator[dict[int, int]]:
    """Every colour bijection that turns the collection `sources` into the collection `targets`.

    The pairs that show a colour first, at most nine, decide on a map; the others confirm it. So a task of thousands of
    pairs costs little more than reading them.
    """
    given, wanted = (_colours_by_key(patterns) for patterns in (sources, targets))
    maps: list[dict[int, int]] = [{}]
    decided: set[int] = set()
    for source in sorted(sources, key=lambda pattern: len(wanted[pattern.key])):
        if decided.issuperset(source.colours):
            continue
        decided.update(source.colours)
        grown = (_agree(known, source.colours, colours) for known in maps for colours in wanted[source.key])
        maps = [known for known in grown if known is not None]
    for known in maps:
        table = bytes(known.get(colour, colour) for colour in range(256))
        # A bijection of colours keeps different pairs different, so counts can be compared one by one.
        if all(
            wanted[key][colours.translate(table)] == count
            for key, counts in given.items()
            for colours, count in counts.items()
        ):
            yield known


def _colours_by_key(patterns: Sequence[PairPattern]) -> dict[tuple[int, int, int, int, bytes], Counter[bytes]]:
    found: defaultdict[tuple[int, int, int, int, bytes], Counter[bytes]] = defaultdict(Counter)
    for pattern in patterns:
        found[pattern.key][pattern.colours] += 1
    return found


def _agree(known: dict[int, int], sources: bytes, targets: bytes) -> dict[int, int] | None:
    """`known` with sources[i] -> targets[i] added, or None where that is no bijection."""
    grown = dict(known)
    for source, target in zip(sources, targets, strict=True):
        if grown.setdefault(source, target) != target:
            return None
    return grown if len(set(grown.values())) == len(grown) else None
