"""A family of grid tasks: what its tasks have in common, and how one task and its pairs are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.hesc_card.grids import Grid, Random, Sides

#: (chance, allowed sides) -> an input; and an input -> its answer, by the rule of one task.
Draw = Callable[[Random, Sides], Grid]
Answer = Callable[[Grid], Grid]


@dataclass(frozen=True)
class Task:
    """One rule: how its inputs are drawn and what answers them. copies: whether an answer may be its input."""

    draw: Draw
    answer: Answer
    copies: bool = False

    def pair(self, chance: Random, allowed: Sides) -> tuple[Grid, Grid]:
        """An input and its answer, with all sides at most the largest allowed."""
        while True:
            given = self.draw(chance, allowed)
            wanted = self.answer(given)
            if max(wanted.shape) <= allowed[1] and (self.copies or not np.array_equal(given, wanted)):
                return given, wanted


@dataclass(frozen=True)
class Family:
    """name; new_task: chance -> a task, whose rule three pairs show."""

    name: str
    new_task: Callable[[Random], Task]
