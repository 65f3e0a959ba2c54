"""Families that move, mirror, continue, combine or cut out whole parts of a grid."""

from __future__ import annotations

import numpy as np

from benchmarks.hesc_card.family import Family, Task
from benchmarks.hesc_card.grids import Grid, Random, Sides, blank, colours, scattered, sides

#: The seven symmetries of a rectangle's cells that are not the identity.
SYMMETRIES = (
    np.fliplr,
    np.flipud,
    lambda grid: np.rot90(grid, 2),
    np.transpose,
    lambda grid: np.rot90(grid, 2).T,
    lambda grid: np.rot90(grid, 1),
    lambda grid: np.rot90(grid, 3),
)


def _random_cells(chance: Random, allowed: Sides) -> Grid:
    return chance.integers(0, 10, sides(chance, allowed), np.uint8)


def symmetry(chance: Random) -> Task:
    """The grid is mirrored or turned."""
    turn = SYMMETRIES[int(chance.integers(len(SYMMETRIES)))]
    return Task(_random_cells, lambda grid: turn(grid).copy())


def shift(chance: Random) -> Task:
    """All cells move by the same steps; what leaves at one edge comes in at the other."""
    down, across = 0, 0
    while not down and not across:
        down, across = int(chance.integers(-2, 3)), int(chance.integers(-2, 3))
    return Task(_random_cells, lambda grid: np.roll(grid, (down, across), (0, 1)))


def complete_symmetry(chance: Random) -> Task:
    """A grid that equals its mirror image has lost a part on one side, which is put back."""
    across = bool(chance.random() < 0.5)

    def draw(c: Random, s: Sides) -> Grid:
        grid = scattered(c, s, 0.7, list(range(1, 10)), 4)
        grid = grid if across else grid.T.copy()
        half = grid.shape[1] // 2
        grid[:, grid.shape[1] - half :] = np.fliplr(grid[:, :half])
        top = int(c.integers(0, grid.shape[0] - 1))
        grid[top : top + int(c.integers(2, grid.shape[0] - top + 1)), grid.shape[1] - half :] = 0
        return grid if across else grid.T.copy()

    def answer(grid: Grid) -> Grid:
        mirrored = np.fliplr(grid) if across else np.flipud(grid)
        return np.where(grid == 0, mirrored, grid).astype(np.uint8)

    return Task(draw, answer)


def continue_pattern(chance: Random) -> Task:
    """Rows or columns repeat with a period of two or three; the rest of the grid is filled in."""
    across, period = bool(chance.random() < 0.5), int(chance.integers(2, 4))

    def draw(c: Random, s: Sides) -> Grid:
        height, width = sides(c, s, 5)
        grid = blank(height, width)
        grid[:, :period] = c.integers(1, 10, (height, period))
        return grid if across else grid.T.copy()

    def answer(grid: Grid) -> Grid:
        lines = grid if across else grid.T
        filled = lines[:, np.arange(lines.shape[1]) % period]
        return (filled if across else filled.T).copy()

    return Task(draw, answer)


def enlarge(chance: Random) -> Task:
    """Each cell becomes two by two, or the grid stands twice beside itself, or above itself."""
    ways = (
        lambda grid: np.kron(grid, np.ones((2, 2), np.uint8)),
        lambda grid: np.tile(grid, (1, 2)),
        lambda grid: np.tile(grid, (2, 1)),
    )
    way = ways[int(chance.integers(len(ways)))]

    def draw(c: Random, s: Sides) -> Grid:
        return c.integers(0, 10, sides(c, (min(s[0], s[1] // 2), s[1] // 2)), np.uint8)

    return Task(draw, lambda grid: way(grid).astype(np.uint8))


def halves(chance: Random) -> Task:
    """Two halves beside a dividing column: the answer marks where both, one or neither of them has a cell."""
    wall, left, right, mark = colours(chance, 4)
    rule = (np.logical_and, np.logical_or, np.logical_xor, lambda a, b: ~(a | b))[int(chance.integers(4))]

    def draw(c: Random, s: Sides) -> Grid:
        height, width = sides(c, s)[0], int(c.integers(s[0] // 2, (s[1] - 1) // 2 + 1))
        a, b = c.random((2, height, width)) < 0.5
        return np.hstack((np.where(a, left, 0), np.full((height, 1), wall), np.where(b, right, 0))).astype(np.uint8)

    def answer(grid: Grid) -> Grid:
        width = grid.shape[1] // 2
        return np.where(rule(grid[:, :width] > 0, grid[:, width + 1 :] > 0), mark, 0).astype(np.uint8)

    return Task(draw, answer)


def crop(chance: Random) -> Task:
    """The box around all cells of one colour is cut out."""
    (wanted,) = colours(chance, 1)
    others = colours(chance, 3, (wanted,))

    def draw(c: Random, s: Sides) -> Grid:
        grid = scattered(c, s, 0.3, others, 4)
        grid[c.integers(grid.shape[0], size=3), c.integers(grid.shape[1], size=3)] = wanted
        return grid

    def answer(grid: Grid) -> Grid:
        rows, columns = np.nonzero(grid == wanted)
        return grid[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].copy()

    return Task(draw, answer)


FAMILIES = (
    Family("symmetry", symmetry),
    Family("complete_symmetry", complete_symmetry),
    Family("continue_pattern", continue_pattern),
    Family("enlarge", enlarge),
    Family("halves", halves),
    Family("crop", crop),
)
