"""What `solve` is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class SolveRequest:
    """The options of a solution.

    run: a run or a checkpoint file. text: the puzzle. file: where it was read, if anywhere. steps: supervision steps,
    None: as trained. views: of a Sudoku or a maze that is not solved, at most; None: MOST_VIEWS. task, votes: for ARC,
    the name of the task and the number of augmentations that vote.
    """

    run: str
    text: str
    file: Path | None = None
    steps: int | None = None
    views: int | None = None
    task: str | None = None
    votes: int | None = None
    device: str = "cpu"
