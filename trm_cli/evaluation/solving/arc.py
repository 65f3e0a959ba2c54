"""Solve an ARC task that the model was trained on: every test input under each known augmentation, then a vote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from trm_cli.data.arc import transforms
from trm_cli.data.arc.encoding import Grid
from trm_cli.data.arc.identifiers import ArcIdentifiers
from trm_cli.data.arc.layout import side_of
from trm_cli.data.arc.task import ArcTask, encode
from trm_cli.evaluation.scores.arc_votes import Ballot, Candidate, grid_keys, grid_of, key_of
from trm_cli.evaluation.solving.puzzle import answers_by_step

if TYPE_CHECKING:
    from trm_cli.models.network import Network


@dataclass(frozen=True)
class InputAnswer:
    """A test input, its candidates from the best on, the right output where it is known.

    path: (step, grid, probability) of the task without augmentation, step by step.
    """

    given: Grid
    candidates: tuple[Candidate, ...]
    path: tuple[tuple[int, Grid, float], ...]
    wanted: Grid | None

    def right(self, attempts: int) -> bool | None:
        """Return whether one of the first candidates is the output; None where that is unknown."""
        if self.wanted is None:
            return None
        return any(np.array_equal(one.grid, self.wanted) for one in self.candidates[:attempts])


def variants_of(name: str, identifiers: ArcIdentifiers, votes: int | None) -> NDArray[np.int64]:
    """Find the identifiers of a task, the plain one first, at most `votes` of them; none where it is unknown."""
    if name not in identifiers.tasks:
        return np.zeros(0, dtype=np.int64)
    rows = np.flatnonzero(identifiers.owners == identifiers.tasks.index(name))
    return rows[np.argsort(identifiers.codes[rows] != 0, kind="stable")][:votes]


def solve_task(
    model: Network,
    identifiers: ArcIdentifiers,
    task: ArcTask,
    variants: NDArray[np.int64],
    device: torch.device,
    *,
    steps: int | None,
    batch_size: int,
    progress: Callable[[int], None],
) -> list[InputAnswer]:
    """Answer every test input of a task by a vote of its variants, `batch_size` at a time.

    steps: supervision steps, None: as trained. progress: called with the number of rows that each batch has finished.
    """
    name = identifiers.tasks[identifiers.owners[variants[0]]]
    solved, side = [], side_of(model.seq_len)
    for given, wanted in task.tests:
        ballot = Ballot(identifiers)  # one for each: equal test inputs do not share their votes
        path: list[tuple[int, Grid, float]] = []
        for first in range(0, len(variants), batch_size):
            rows = variants[first : first + batch_size]
            _, symmetries, permutations = identifiers.transforms(rows)
            tokens = encode([_augmented(given, *one) for one in zip(symmetries, permutations, strict=True)], side)
            for step, (answers, confidence, _) in enumerate(
                answers_by_step(model, tokens, rows, device, steps=steps), 1
            ):
                if first == 0:
                    [plain] = grid_keys(answers[:1].astype(np.uint8), symmetries[:1], permutations[:1])
                    path.append((step, grid_of(plain), float(confidence[0])))
            ballot.add(tokens, answers, rows, confidence)
            progress(len(rows))
        solved.append(InputAnswer(given, tuple(ballot.ranked(name, key_of(given))), tuple(path), wanted))
    return solved


def _augmented(grid: Grid, symmetry: np.uint8, permutation: NDArray[np.uint8]) -> Grid:
    return transforms.augment_grid(grid, transforms.Transform(int(symmetry), tuple(map(int, permutation))))
