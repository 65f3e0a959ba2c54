"""The answers of a network of capsules to an ARC task, and how they came about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from trm_cli.console.answers.arc import side_by_side, titled_changes
from trm_cli.console.answers.document import about_model, answered_input
from trm_cli.console.output import shows_colours, stdout

if TYPE_CHECKING:
    from trm_cli.evaluation.solving.canvas import CanvasAnswer
    from trm_cli.workflows.solve.canvas import CanvasSolution


def canvas_screen(solution: CanvasSolution) -> Group:
    """For each test input: the path of its answer, from which step on it stood, and whether it is right."""
    name, answers = solution.task, solution.answers
    coloured = shows_colours(stdout())
    parts: list[RenderableType] = []
    for number, answer in enumerate(answers, 1):
        parts.append(Text(f"{name or 'task'}, test input {number} of {len(answers)}", "bold"))
        parts.append(side_by_side([("input", answer.given), *titled_changes(answer.path)], coloured))
        _, _, sure = answer.path[-1]
        parts.append(Text(f"unchanged since step {_settled(answer)} of {len(answer.path)}, {sure:.0%} confident"))
        if answer.right is not None:
            parts.append(Text("solved" if answer.right else "not solved", "bold" if answer.right else "bold red"))
    if not solution.known:
        parts.append(Text("the run has not learnt this task's rule: it has no puzzle identifier for it", "dim"))
    return Group(*parts)


def canvas_document(solution: CanvasSolution) -> dict[str, Any]:
    """The same as plain data."""
    tests = [
        answered_input(one.given, {"answer": one.answer.tolist()}, one.right, one.path) for one in solution.answers
    ]
    about = about_model(solution.checkpoint, solution.step)
    return {**about, "task": solution.task, "known": solution.known, "tests": tests}


def _settled(answer: CanvasAnswer) -> int:
    """The step from which the answer is the last one, counted from 1."""
    others = [step for step, grid, _ in answer.path if not np.array_equal(grid, answer.answer)]
    return 1 + max(others, default=0)
