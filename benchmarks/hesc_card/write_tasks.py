"""Write tasks in Kaggle's ARC layout: many pairs that train, and held-out pairs that no trained grid equals."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from benchmarks.hesc_card.families import generator
from benchmarks.hesc_card.family import Task
from benchmarks.hesc_card.grids import Grid, Sides
from dataset_builders.lib.arc.symmetry import canonical_key
from dataset_builders.lib.arc.tasks import Pair, TaskGrid

#: Draws in a row that only repeat what is there already: the task has no more pairs of these sides.
_MOST_REPEATS = 1_000

Drawn = list[tuple[Grid, Grid]]


def key_of(pair: tuple[Grid, Grid]) -> object:
    """The same for pairs that are equal up to symmetry and colours."""
    given, wanted = (TaskGrid(grid.shape[0], grid.shape[1], grid.tobytes()) for grid in pair)
    return canonical_key(Pair(given, wanted))


def draw_pairs(
    name: str, task: Task, count: int, allowed: Sides, seed: int, without: Collection[object] = frozenset()
) -> Drawn:
    """`count` pairs of a task, different even up to symmetry and colours, and none of those `without` (by `key_of`).

    Raises ValueError where there are not so many.
    """
    chance = generator(seed, f"pairs of {name}")
    drawn: dict[object, tuple[Grid, Grid]] = {}
    repeats = 0
    while len(drawn) < count:
        pair = task.pair(chance, allowed)
        key = key_of(pair)
        repeats = repeats + 1 if key in drawn or key in without else 0
        if repeats > _MOST_REPEATS:
            raise ValueError(
                f"{name} has about {len(drawn)} pairs with sides {allowed[0]} to {allowed[1]}, not {count}"
            )
        if key not in without:
            drawn.setdefault(key, pair)
    return list(drawn.values())


def write_tasks(
    directory: Path, tasks: Mapping[str, Task], *, pairs: int, tests: int, allowed: Sides, seed: int, subset: str
) -> None:
    """Write `pairs` demonstrations and `tests` held-out pairs of each task as the files of one subset."""
    directory.mkdir(parents=True, exist_ok=True)
    challenges: dict[str, object] = {}
    solutions: dict[str, object] = {}
    for name, task in tasks.items():
        drawn = [
            {"input": given.tolist(), "output": wanted.tolist()}
            for given, wanted in draw_pairs(name, task, pairs + tests, allowed, seed)
        ]
        asked = drawn[pairs:]
        challenges[name] = {"train": drawn[:pairs], "test": [{"input": pair["input"]} for pair in asked]}
        solutions[name] = [pair["output"] for pair in asked]
    stem = f"arc-agi_{subset}"
    (directory / f"{stem}_challenges.json").write_text(json.dumps(challenges))
    (directory / f"{stem}_solutions.json").write_text(json.dumps(solutions))
