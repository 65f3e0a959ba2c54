"""Families whose answer is decided near each cell, or along a line from it."""

from __future__ import annotations

import numpy as np

from benchmarks.hesc_card.family import Family, Task
from benchmarks.hesc_card.grids import NEIGHBOURS, Grid, Random, Sides, blank, colours, objects, ray, scattered, sides

_DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0))
_AROUND = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if row or column)


def _near(mask: Grid, steps: tuple[tuple[int, int], ...]) -> Grid:
    """How many of the cells at `steps` from each cell are not background."""
    padded = np.pad(mask > 0, 1).astype(np.uint8)
    height, width = mask.shape
    total = blank(height, width)
    for row, column in steps:
        total += padded[1 + row : 1 + row + height, 1 + column : 1 + column + width]
    return total


def recolour(chance: Random) -> Task:
    """Every colour becomes another: the ten colours in a circle."""
    order = chance.permutation(10)
    table = np.empty(10, np.uint8)
    table[order] = np.roll(order, 1)
    return Task(lambda c, s: c.integers(0, 10, sides(c, s), np.uint8), lambda grid: table[grid])


def outline(chance: Random) -> Task:
    """Background beside an object, by sides or by corners too, takes a colour."""
    (border,) = colours(chance, 1)
    steps = NEIGHBOURS if chance.random() < 0.5 else _AROUND
    rest = colours(chance, 3, (border,))

    def answer(grid: Grid) -> Grid:
        return np.where((grid == 0) & (_near(grid, steps) > 0), border, grid).astype(np.uint8)

    return Task(lambda c, s: objects(c, s, [int(c.integers(1, 4)) for _ in range(int(c.integers(1, 3)))], rest), answer)


def denoise(chance: Random) -> Task:
    """Single cells vanish, or take a colour; what hangs together stays."""
    colour = colours(chance, 1)[0]
    speck = 0 if chance.random() < 0.5 else colour
    rest = colours(chance, 2, (colour,))

    def draw(c: Random, s: Sides) -> Grid:
        return objects(c, s, [int(c.integers(2, 5)), *[1] * int(c.integers(1, 3))], rest)

    def answer(grid: Grid) -> Grid:
        alone = (grid > 0) & (_near(grid, NEIGHBOURS) == 0)
        return np.where(alone, speck, grid).astype(np.uint8)

    return Task(draw, answer)


def gravity(chance: Random) -> Task:
    """Cells fall to one edge and keep their order."""
    turns = int(chance.integers(4))

    def answer(grid: Grid) -> Grid:
        turned = np.rot90(grid, turns)
        fallen = np.zeros_like(turned)
        for column in range(turned.shape[1]):
            cells = turned[:, column][turned[:, column] > 0]
            fallen[turned.shape[0] - len(cells) :, column] = cells
        return np.rot90(fallen, -turns).copy()

    return Task(lambda c, s: scattered(c, s, 0.35, list(range(1, 10))), answer)


def rays(chance: Random) -> Task:
    """Each cell of a colour shoots a line in one direction up to the edge."""
    step = _DIRECTIONS[int(chance.integers(4))]
    source, trace = colours(chance, 2)

    def draw(c: Random, s: Sides) -> Grid:
        return objects(c, s, [1] * int(c.integers(1, 4)), [source])

    def answer(grid: Grid) -> Grid:
        done = grid.copy()
        for cell in zip(*np.nonzero(grid == source), strict=True):
            for place in ray(grid, (int(cell[0]), int(cell[1])), step):
                if grid[place] == 0:
                    done[place] = trace
        return done

    return Task(draw, answer)


def crosses(chance: Random) -> Task:
    """Row and column, or both diagonals, of each marked cell are drawn."""
    mark, line = colours(chance, 2)
    steps = _DIRECTIONS if chance.random() < 0.5 else tuple((a, b) for a, b in _AROUND if a and b)

    def answer(grid: Grid) -> Grid:
        done = grid.copy()
        for cell in zip(*np.nonzero(grid == mark), strict=True):
            for step in steps:
                for place in ray(grid, (int(cell[0]), int(cell[1])), step):
                    done[place] = mark if grid[place] == mark else line
        return done

    return Task(lambda c, s: objects(c, s, [1] * int(c.integers(1, 3)), [mark]), answer)


def connect(chance: Random) -> Task:
    """Two cells of one colour in the same row or column are joined by a line."""
    line = colours(chance, 1)[0]

    def draw(c: Random, s: Sides) -> Grid:
        ends = colours(c, 2, (line,))
        height, width = sides(c, s, 5)
        grid = blank(height, width)
        for end, row in zip(ends, c.choice(height, 2, replace=False), strict=True):
            left = int(c.integers(0, width - 2))
            grid[row, left] = grid[row, int(c.integers(left + 2, width))] = end
        return grid if c.random() < 0.5 else grid.T.copy()

    def answer(grid: Grid) -> Grid:
        done = grid.copy()
        for target, source in ((done, grid), (done.T, grid.T)):
            for row in range(source.shape[0]):
                for end in set(source[row].tolist()) - {0}:
                    places = np.nonzero(source[row] == end)[0]
                    between = slice(int(places[0]) + 1, int(places[-1]))
                    target[row, between] = np.where(source[row, between] == 0, line, target[row, between])
        return done

    return Task(draw, answer)


FAMILIES = (
    Family("recolour", recolour),
    Family("outline", outline),
    Family("denoise", denoise),
    Family("gravity", gravity),
    Family("rays", rays),
    Family("crosses", crosses),
    Family("connect", connect),
)
