"""Solve puzzles whose answers can be checked: view after view, until an answer of the network keeps the rules.

Whole answers of the network are checked; no search and no rule fills in a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from trm_cli.evaluation.solving.puzzle import AnswerStep, answers_by_step

if TYPE_CHECKING:
    from trm_cli.data.puzzles.families import TextFamily
    from trm_cli.data.puzzles.views import Views
    from trm_cli.models.network import Network


@dataclass(frozen=True)
class Checked:
    """The answers to a puzzle after each step, of the view that solved it, else of the puzzle itself.

    solved: whether the last of them keeps the rules. views: how many were made.
    """

    path: Sequence[AnswerStep]
    solved: bool
    views: int


def solve_checked(
    model: Network,
    puzzles: NDArray[np.integer],
    family: TextFamily,
    views: Views,
    device: torch.device,
    *,
    most: int,
    steps: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Checked]:
    """Answer puzzles [B, L], those that are not solved in up to `most` views. progress: called after each view with 1.

    steps: supervision steps of each view, default as trained.
    """
    found: dict[int, Checked] = {}
    left = np.arange(len(puzzles))
    for number in range(min(most, views.count)):
        view = views.draw(np.zeros(len(left), np.int64), number)
        rows = answers_by_step(model, view.of(puzzles[left]), np.zeros(len(left), np.int32), device, steps=steps)
        after = [one._replace(answers=view.back(one.answers).astype(np.int32)) for one in rows]
        valid = np.zeros(len(left), dtype=bool)
        for place, row in enumerate(left):
            path = [
                AnswerStep(
                    step, tuple(one.answers[place].tolist()), float(one.confidence[place]), float(one.residual[place])
                )
                for step, one in enumerate(after, 1)
            ]
            valid[place] = family.judge(puzzles[row].tolist(), path[-1].answer).solved
            known = found.get(int(row))
            keep = path if known is None or valid[place] else known.path
            found[int(row)] = Checked(keep, bool(valid[place]), number + 1)
        left = left[~valid]
        progress(1)
        if not len(left):
            break
    return [found[row] for row in range(len(puzzles))]
