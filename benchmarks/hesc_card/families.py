"""The tasks of the card: the twenty families, fixed before the first run, and the five tasks of the first rows."""

from __future__ import annotations

import numpy as np

from benchmarks.hesc_card import global_rules, layouts, local_rules
from benchmarks.hesc_card.family import Family, Task
from benchmarks.hesc_card.grids import Grid, Random, Sides, sides

FAMILIES: tuple[Family, ...] = local_rules.FAMILIES + layouts.FAMILIES + global_rules.FAMILIES


def _cells(chance: Random, allowed: Sides) -> Grid:
    return chance.integers(0, 10, sides(chance, allowed), np.uint8)


#: Cells uniform over ten colours; recolour exchanges 0 with 1, 2 with 3 and so on. Copying answers `copy` alone.
FIRST_ROWS: dict[str, Task] = {
    "copy": Task(_cells, lambda grid: grid.copy(), copies=True),
    "recolour": Task(_cells, lambda grid: grid ^ np.uint8(1)),
    "mirror": Task(_cells, lambda grid: np.fliplr(grid).copy()),
    "transpose": Task(_cells, lambda grid: grid.T.copy()),
    "shift": Task(_cells, lambda grid: np.roll(grid, (1, 2), (0, 1))),
}


def known_tasks(seed: int) -> dict[str, Task]:
    """One task of each family, by name."""
    return {family.name: family.new_task(generator(seed, family.name)) for family in FAMILIES}


def many_tasks(seed: int, count: int) -> dict[str, Task]:
    """`count` tasks of each family: NAME-0, NAME-1, ..."""
    return {
        f"{family.name}-{number}": family.new_task(generator(seed, family.name, number))
        for family in FAMILIES
        for number in range(count)
    }


def generator(seed: int, name: str, number: int = 0) -> Random:
    """The random numbers of one task: a function of its arguments alone."""
    return np.random.default_rng([seed, number, *name.encode()])
