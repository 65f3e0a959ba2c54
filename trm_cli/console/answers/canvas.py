"""The answers of a network of capsules to an ARC task, with their steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from trm_cli.console.answers.steps import (
    MOST_SHOWN,
    about_model,
    answered_grids,
    answered_input,
    changed_steps,
    not_shown,
)

if TYPE_CHECKING:
    from trm_cli.workflows.solve.arc import CanvasSolution


def canvas_screen(solution: CanvasSolution) -> Group:
    """Show for each test input the steps of its answer, since when it is unchanged, and whether it is right."""
    parts: list[RenderableType] = []
    for number, answer in enumerate(solution.answers[:MOST_SHOWN], 1):
        parts.append(Text(f"{solution.task or 'task'}, test input {number} of {len(solution.answers)}", "bold"))
        parts.append(answered_grids(answer.given, answer.path))
        settled, _, sure = changed_steps(answer.path)[-1][0], *answer.path[-1][1:]
        parts.append(Text(f"unchanged since step {settled} of {len(answer.path)}, {sure:.0%} confident"))
        if answer.right is not None:
            parts.append(Text("solved" if answer.right else "not solved", "bold" if answer.right else "bold red"))
    parts += not_shown(len(solution.answers))
    if not solution.known:
        parts.append(Text("the run has not learnt this task's rule: it has no puzzle identifier for it", "dim"))
    return Group(*parts)


def canvas_document(solution: CanvasSolution) -> dict[str, Any]:
    """Describe a solution as plain data."""
    tests = [
        answered_input(one.given, {"answer": one.answer.tolist()}, one.right, one.path) for one in solution.answers
    ]
    about = about_model(solution.checkpoint, solution.step)
    return {**about, "task": solution.task, "known": solution.known, "tests": tests}
