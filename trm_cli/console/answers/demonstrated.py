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
    attempt_grids,
    attempts_document,
    changed_steps,
    not_shown,
)
from trm_cli.console.tables import counted

if TYPE_CHECKING:
    from trm_cli.evaluation.solving.demonstrated import DemonstratedAnswer
    from trm_cli.workflows.solve.demonstrated import DemonstratedSolution


def demonstrated_screen(solution: DemonstratedSolution) -> Group:
    """Show for each test input the steps of its answer, the attempts of the vote, and whether the first is right."""
    parts: list[RenderableType] = []
    for number, answer in enumerate(solution.answers[:MOST_SHOWN], 1):
        parts.append(Text(f"{solution.task or 'task'}, test input {number} of {len(solution.answers)}", "bold"))
        voted = answer.candidates if answer.votes > 1 else ()
        parts.append(answered_grids(answer.given, answer.path, attempt_grids(voted)))
        parts.append(Text(_agreement(answer)))
        if answer.right is not None:
            parts.append(Text("solved" if answer.right else "not solved", "bold" if answer.right else "bold red"))
    parts += not_shown(len(solution.answers))
    if not solution.known:
        of = (
            f"its {solution.demonstrations} demonstrations alone" if solution.demonstrations else "nothing: it has none"
        )
        parts.append(Text(f"the run's dataset does not have this task: its rule is known from {of}", "dim"))
    return Group(*parts)


def _agreement(answer: DemonstratedAnswer) -> str:
    """How many views agree on the answer; of a single one, since which step it is unchanged."""
    if answer.votes > 1:
        return f"attempt 1 has {answer.candidates[0].votes} of {counted(answer.votes, 'vote')}"
    settled, sure = changed_steps(answer.path)[-1][0], answer.path[-1][2]
    return f"unchanged since step {settled} of {len(answer.path)}, {sure:.0%} confident"


def demonstrated_document(solution: DemonstratedSolution) -> dict[str, Any]:
    """Describe a solution as plain data."""
    tests = [
        answered_input(
            one.given,
            {"answer": one.answer.tolist(), "attempts": attempts_document(one.candidates)},
            one.right,
            one.path,
        )
        for one in solution.answers
    ]
    about = about_model(solution.checkpoint, solution.step)
    return {
        **about,
        "task": solution.task,
        "known": solution.known,
        "demonstrations": solution.demonstrations,
        "views": solution.views,
        "tests": tests,
    }
