"""Grids and what the families draw on them: random cells, random objects, connected parts, lines."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

#: Colours 0..9, [height, width]; 0 is the background.
Grid = NDArray[np.uint8]
Random = np.random.Generator
Sides = tuple[int, int]
Cells = list[tuple[int, int]]

NEIGHBOURS = ((-1, 0), (0, -1), (0, 1), (1, 0))


def sides(chance: Random, allowed: Sides, least: int = 1) -> tuple[int, int]:
    """Height and width, uniform and independent, at least `least`."""
    low = max(allowed[0], least)
    return int(chance.integers(low, allowed[1] + 1)), int(chance.integers(low, allowed[1] + 1))


def blank(height: int, width: int) -> Grid:
    """All background."""
    return np.zeros((height, width), np.uint8)


def colours(chance: Random, count: int, without: tuple[int, ...] = ()) -> list[int]:
    """Different colours other than the background."""
    choice = [colour for colour in range(1, 10) if colour not in without]
    return [int(colour) for colour in chance.choice(choice, count, replace=False)]


def scattered(chance: Random, allowed: Sides, share: float, palette: list[int], least: int = 3) -> Grid:
    """Cells of the palette strewn over a grid, about `share` of it."""
    shape = sides(chance, allowed, least)
    drawn = chance.choice(np.array(palette, np.uint8), shape)
    return np.where(chance.random(shape) < share, drawn, 0).astype(np.uint8)


def parts(mask: NDArray[np.bool_]) -> list[Cells]:
    """The parts of the true cells that hang together by their sides, in reading order of their first cell."""
    left = mask.copy()
    found: list[Cells] = []
    for start in zip(*np.nonzero(mask), strict=True):
        if not left[start]:
            continue
        left[start] = False
        part: Cells = [(int(start[0]), int(start[1]))]
        for row, column in part:
            for down, across in NEIGHBOURS:
                near = (row + down, column + across)
                if 0 <= near[0] < mask.shape[0] and 0 <= near[1] < mask.shape[1] and left[near]:
                    left[near] = False
                    part.append(near)
        found.append(part)
    return found


def paint(grid: Grid, cells: Cells, colour: int) -> None:
    """Give cells a colour, in place."""
    for cell in cells:
        grid[cell] = colour


def grown(chance: Random, grid: Grid, size: int, colour: int) -> bool:
    """Grow an object of `size` cells that touches no other one, not even at a corner; False where there is no room."""
    height, width = grid.shape
    free = [
        (row, column)
        for row in range(height)
        for column in range(width)
        if not grid[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].any()
    ]
    if not free:
        return False
    allowed = set(free)
    cells = [free[int(chance.integers(len(free)))]]
    while len(cells) < size:
        around = sorted(
            {
                (row + down, column + across)
                for row, column in cells
                for down, across in NEIGHBOURS
                if (row + down, column + across) in allowed
            }
            - set(cells)
        )
        if not around:
            return False
        cells.append(around[int(chance.integers(len(around)))])
    paint(grid, cells, colour)
    return True


def objects(chance: Random, allowed: Sides, sizes: list[int], palette: list[int]) -> Grid:
    """A grid with objects of the given sizes, apart from one another, each of one colour of the palette."""
    while True:
        grid = blank(*sides(chance, allowed, 3))
        if all(grown(chance, grid, size, palette[int(chance.integers(len(palette)))]) for size in sizes):
            return grid


def ray(grid: Grid, cell: tuple[int, int], step: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The cells from a cell to the edge, without the cell itself."""
    row, column = cell[0] + step[0], cell[1] + step[1]
    while 0 <= row < grid.shape[0] and 0 <= column < grid.shape[1]:
        yield row, column
        row, column = row + step[0], column + step[1]
