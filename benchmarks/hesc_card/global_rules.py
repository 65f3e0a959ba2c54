"""Families whose answer needs the whole grid: counting, comparing objects, filling what is enclosed."""

from __future__ import annotations

import numpy as np

from benchmarks.hesc_card.family import Family, Task
from benchmarks.hesc_card.grids import (
    Cells,
    Grid,
    Random,
    Sides,
    blank,
    colours,
    objects,
    paint,
    parts,
    scattered,
    sides,
)


def fill_enclosed(chance: Random) -> Task:
    """Background that no path of background joins to the edge is filled."""
    wall, filling = colours(chance, 2)

    def draw(c: Random, s: Sides) -> Grid:
        grid = scattered(c, s, 0.15, [wall], 4)
        height, width = grid.shape
        for _ in range(int(c.integers(1, 3))):
            top, left = int(c.integers(0, height - 2)), int(c.integers(0, width - 2))
            bottom, right = int(c.integers(top + 2, height)), int(c.integers(left + 2, width))
            grid[[top, bottom], left : right + 1] = wall
            grid[top : bottom + 1, [left, right]] = wall
            if c.random() < 0.3:
                # A gap at one side: this box is open.
                grid[int(c.integers(top + 1, bottom)), left] = 0
        return grid

    def answer(grid: Grid) -> Grid:
        done = grid.copy()
        last = (grid.shape[0] - 1, grid.shape[1] - 1)
        for part in parts(grid == 0):
            if not any(row in (0, last[0]) or column in (0, last[1]) for row, column in part):
                paint(done, part, filling)
        return done

    return Task(draw, answer)


def _by_size(chance: Random, allowed: Sides, palette: list[int]) -> Grid:
    """Two or three objects of different sizes."""
    sizes = chance.choice(np.arange(1, 6), int(chance.integers(2, 4)), replace=False)
    return objects(chance, allowed, [int(size) for size in sizes], palette)


def _extreme(grid: Grid, largest: bool) -> Cells:
    found = parts(grid > 0)
    return max(found, key=len) if largest else min(found, key=len)


def keep_one(chance: Random) -> Task:
    """Only the largest object stays, or only the smallest."""
    largest = bool(chance.random() < 0.5)
    palette = colours(chance, 3)

    def answer(grid: Grid) -> Grid:
        done = np.zeros_like(grid)
        for cell in _extreme(grid, largest):
            done[cell] = grid[cell]
        return done

    return Task(lambda c, s: _by_size(c, s, palette), answer)


def mark_one(chance: Random) -> Task:
    """The largest object, or the smallest, takes a colour of its own."""
    largest = bool(chance.random() < 0.5)
    mark, *palette = colours(chance, 3)

    def answer(grid: Grid) -> Grid:
        done = grid.copy()
        paint(done, _extreme(grid, largest), mark)
        return done

    return Task(lambda c, s: _by_size(c, s, palette), answer)


def colour_by_size(chance: Random) -> Task:
    """Objects of one, two and three cells take three colours."""
    plain, *by_size = colours(chance, 4)

    def draw(c: Random, s: Sides) -> Grid:
        return objects(c, s, [int(size) for size in c.integers(1, 4, int(c.integers(2, 4)))], [plain])

    def answer(grid: Grid) -> Grid:
        done = grid.copy()
        for part in parts(grid > 0):
            paint(done, part, by_size[len(part) - 1])
        return done

    return Task(draw, answer)


def count_cells(chance: Random) -> Task:
    """As many cells from the top left on are coloured as the grid has cells of a colour."""
    counted, mark = colours(chance, 2)
    others = colours(chance, 2, (counted, mark))

    def draw(c: Random, s: Sides) -> Grid:
        return scattered(c, s, 0.25, [counted, *others])

    def answer(grid: Grid) -> Grid:
        done = np.zeros_like(grid)
        done.flat[: int((grid == counted).sum())] = mark
        return done

    return Task(draw, answer)


def majority(chance: Random) -> Task:
    """The whole grid takes the colour that occurs most often, or least often, in it."""
    most = bool(chance.random() < 0.5)
    palette = colours(chance, 3)

    def draw(c: Random, s: Sides) -> Grid:
        while True:
            grid = c.choice(np.array(palette, np.uint8), sides(c, s, 3))
            counts = sorted(int((grid == colour).sum()) for colour in palette)
            if 0 < counts[0] < counts[1] < counts[2]:
                return grid

    def answer(grid: Grid) -> Grid:
        counts = [int((grid == colour).sum()) for colour in palette]
        chosen = palette[counts.index(max(counts) if most else min(counts))]
        return np.full_like(grid, chosen)

    return Task(draw, answer)


def sort_bars(chance: Random) -> Task:
    """Bars that stand on the lower edge, or hang from the upper one, are ordered by height."""
    rising, hanging = bool(chance.random() < 0.5), bool(chance.random() < 0.5)
    colour = colours(chance, 1)[0]

    def bars(heights: list[int], height: int) -> Grid:
        grid = blank(height, len(heights))
        for column, size in enumerate(heights):
            grid[height - size :, column] = colour
        return grid[::-1].copy() if hanging else grid

    def draw(c: Random, s: Sides) -> Grid:
        height, width = sides(c, s, 3)
        return bars([int(size) for size in c.integers(0, height + 1, width)], height)

    def answer(grid: Grid) -> Grid:
        heights = sorted(((grid > 0).sum(0)).tolist(), reverse=not rising)
        return bars(heights, grid.shape[0])

    return Task(draw, answer)


FAMILIES = (
    Family("fill_enclosed", fill_enclosed),
    Family("keep_one", keep_one),
    Family("mark_one", mark_one),
    Family("colour_by_size", colour_by_size),
    Family("count_cells", count_cells),
    Family("majority", majority),
    Family("sort_bars", sort_bars),
)
