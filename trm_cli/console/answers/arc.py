"""The answers to an ARC task: the vote, and the steps of the answer to the task without augmentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from trm_cli.console.answers.steps import (
    MOST_SHOWN,
    about_model,
    answered_grids,
    answered_input,
    attempt_grids,
    attempts_document,
    not_shown,
)
from trm_cli.console.tables import counted
from trm_cli.workflows.solve.arc import ATTEMPTS

if TYPE_CHECKING:
    from trm_cli.evaluation.solving.arc import InputAnswer
    from trm_cli.workflows.solve.arc import ArcSolution


def arc_screen(solution: ArcSolution) -> Group:
    """Show for each test input the steps of the plain task's answer, then the attempts that the vote chose."""
    parts: list[RenderableType] = []
    for number, answer in enumerate(solution.answers[:MOST_SHOWN], 1):
        votes = counted(sum(one.votes for one in answer.candidates), "vote")
        parts.append(Text(f"{solution.task}, test input {number} of {len(solution.answers)}: {votes}", "bold"))
        parts.append(answered_grids(answer.given, answer.path, attempt_grids(answer.candidates)))
        if answer.right(ATTEMPTS):
            parts.append(Text(f"solved: attempt {_rank(answer)} is the output", "bold"))
        elif answer.wanted is not None:
            parts.append(Text("not solved: no attempt is the output", "bold red"))
    parts += not_shown(len(solution.answers))
    return Group(*parts)


def arc_document(solution: ArcSolution) -> dict[str, Any]:
    """Describe a solution as plain data; `attempts` are the best candidates, the vote's first choice first."""
    tests = []
    for answer in solution.answers:
        final = {"attempts": attempts_document(answer.candidates)}
        tests.append(answered_input(answer.given, final, answer.right(ATTEMPTS), answer.path))
    about = about_model(solution.checkpoint, solution.step)
    return {**about, "task": solution.task, "augmentations": solution.augmentations, "tests": tests}


def _rank(answer: InputAnswer) -> int:
    """Return the rank, from 1, of the candidate that is the output."""
    assert answer.wanted is not None
    return next(rank for rank, one in enumerate(answer.candidates, 1) if np.array_equal(one.grid, answer.wanted))
