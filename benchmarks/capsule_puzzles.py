"""Write synthetic tasks for the capsule model: copy, recolour and mirror, in Kaggle's ARC layout.

Each task is one entry with many demonstrations (they train) and held-out tests; a grid that equals another one up to
symmetry and colours stands on one side only.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

from dataset_builders.lib.arc.symmetry import canonical_key
from dataset_builders.lib.arc.tasks import Pair, TaskGrid

Rows = list[list[int]]

TASKS: dict[str, Callable[[Rows], Rows]] = {
    "copy": lambda grid: [list(row) for row in grid],
    # Exchanges 0 with 1, 2 with 3 and so on.
    "recolour": lambda grid: [[colour ^ 1 for colour in row] for row in grid],
    "mirror": lambda grid: [row[::-1] for row in grid],
}


def random_grid(chance: random.Random, sizes: tuple[int, int]) -> Rows:
    """A grid of random colours whose sides lie in `sizes`."""
    height, width = chance.randint(*sizes), chance.randint(*sizes)
    return [[chance.randrange(10) for _ in range(width)] for _ in range(height)]


def _key(given: Rows, wanted: Rows) -> object:
    def grid(rows: Rows) -> TaskGrid:
        return TaskGrid(len(rows), len(rows[0]), bytes(colour for row in rows for colour in row))

    return canonical_key(Pair(grid(given), grid(wanted)))


def write_puzzles(directory: Path, *, pairs: int, tests: int, sizes: tuple[int, int], seed: int) -> None:
    """Write `pairs` demonstrations and `tests` held-out tests of each task into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    seen: set[object] = set()
    subsets: dict[str, dict[str, object]] = {"training": {}, "evaluation": {}}
    solutions: dict[str, dict[str, object]] = {"training": {}, "evaluation": {}}
    for name, answer in TASKS.items():
        chance = random.Random(f"{name} {seed}")
        drawn: list[Rows] = []
        while len(drawn) < pairs + tests:
            given = random_grid(chance, sizes)
            key = _key(given, answer(given))
            if key not in seen:
                seen.add(key)
                drawn.append(given)
        shown, asked = drawn[:pairs], drawn[pairs:]
        subsets["evaluation"][name] = {
            "train": [{"input": given, "output": answer(given)} for given in shown],
            "test": [{"input": given} for given in asked],
        }
        solutions["evaluation"][name] = [answer(given) for given in asked]
    # The layout asks for a training task as well: two pairs that nothing is measured on.
    few = [random_grid(random.Random(seed), sizes) for _ in range(2)]
    subsets["training"]["flip"] = {
        "train": [{"input": few[0], "output": few[0][::-1]}],
        "test": [{"input": few[1]}],
    }
    solutions["training"]["flip"] = [few[1][::-1]]
    for subset in subsets:
        for suffix, content in (("challenges", subsets[subset]), ("solutions", solutions[subset])):
            (directory / f"arc-agi_{subset}_{suffix}.json").write_text(json.dumps(content), encoding="utf-8")
