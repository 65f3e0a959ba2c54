"""The answers to an ARC task: the vote, and how the plain task's answer came about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.columns import Columns
from rich.console import Group
from rich.text import Text

from trm_cli.console.answers.document import about_model, answered_input
from trm_cli.console.output import shows_colours, stdout
from trm_cli.console.tables import counted
from trm_cli.console.views.samples import grid_text

if TYPE_CHECKING:
    from trm_cli.evaluation.solving.arc import InputAnswer
    from trm_cli.workflows.solve.arc import ArcSolution

#: A submission has two attempts at each test input.
ATTEMPTS = 2
_STAGES = 3


def arc_screen(solution: ArcSolution) -> Group:
    """For each test input: the path of the plain task's answer, then the attempts that the vote chose."""
    name, answers = solution.task, solution.answers
    coloured = shows_colours(stdout())
    parts: list[Group | Text | Columns] = []
    for number, answer in enumerate(answers, 1):
        total = sum(one.votes for one in answer.candidates)
        parts.append(Text(f"{name}, test input {number} of {len(answers)}: {counted(total, 'vote')}", "bold"))
        stages = [("input", answer.given)]
        stages += titled_changes(answer.path)
        stages += [
            (f"attempt {rank}: {counted(one.votes, 'vote')}", one.grid)
            for rank, one in enumerate(answer.candidates[:ATTEMPTS], 1)
        ]
        parts.append(side_by_side(stages, coloured))
        right = answer.right(ATTEMPTS)
        if right is not None:
            said = f"solved: attempt {_rank(answer)} is the output" if right else "not solved: no attempt is the output"
            parts.append(Text(said, "bold" if right else "bold red"))
    return Group(*parts)


def arc_document(solution: ArcSolution) -> dict[str, Any]:
    """The same as plain data; `attempts` are the best candidates, the vote's first choice first."""
    tests = []
    for answer in solution.answers:
        attempts = [
            {"output": one.grid.tolist(), "votes": one.votes, "q_halt": one.confidence}
            for one in answer.candidates[:ATTEMPTS]
        ]
        tests.append(answered_input(answer.given, {"attempts": attempts}, answer.right(ATTEMPTS), answer.path))
    about = about_model(solution.checkpoint, solution.step)
    return {**about, "task": solution.task, "augmentations": solution.augmentations, "tests": tests}


def titled_changes(path: Sequence[tuple[int, np.ndarray, float]]) -> list[tuple[str, np.ndarray]]:
    """The steps (number, answer, how sure) at which an answer changed, the first ones and the last, with titles."""
    found = [
        one
        for before, one in zip([None, *path], path, strict=False)
        if before is None or not np.array_equal(before[1], one[1])
    ]
    shown = [*found[: _STAGES - 1], *found[_STAGES - 1 :][-1:]]
    return [(f"step {step}  {sure:.0%}", grid) for step, grid, sure in shown]


def side_by_side(titled: Sequence[tuple[str, np.ndarray]], coloured: bool) -> Columns:
    """Grids under their titles."""
    frames = [Group(Text(title, style="bold"), _picture(grid, coloured)) for title, grid in titled]
    return Columns(frames, padding=(1, 3))


def _picture(grid: np.ndarray, coloured: bool) -> Text:
    """A prediction that begins with no colour has no cells."""
    return grid_text(grid, coloured) if grid.size else Text("(no grid)", "dim")


def _rank(answer: InputAnswer) -> int:
    """Which candidate is the output, from 1 on."""
    assert answer.wanted is not None
    return next(rank for rank, one in enumerate(answer.candidates, 1) if np.array_equal(one.grid, answer.wanted))
