"""Print a solution of any kind, and the progress of solving."""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType

from trm_cli.console.answers.arc import arc_document, arc_screen
from trm_cli.console.answers.demonstrated import demonstrated_document, demonstrated_screen
from trm_cli.console.answers.puzzle import puzzle_document, puzzle_screen
from trm_cli.console.output import note, print_result
from trm_cli.console.progress import counting
from trm_cli.console.tables import counted
from trm_cli.workflows.observers import SolveObserver
from trm_cli.workflows.solve.arc import ArcSolution
from trm_cli.workflows.solve.solve import PuzzleSolution

if TYPE_CHECKING:
    from collections.abc import Callable

    from trm_cli.workflows.solve.solve import Solution


class SolveScreen(SolveObserver):
    """Shows the work on an ARC task on stderr."""

    def note(self, message: str) -> None:
        """Print a message for the user."""
        note(message)

    def arc_task_found(self, name: str, inputs: int, augmentations: int, *, slow: bool) -> None:
        """Print the number of test inputs and augmentations."""
        note(f"task {name}: {counted(inputs, 'test input')} under {counted(augmentations, 'augmentation')}")
        if slow:
            note("on the CPU this takes long: --votes 16 asks fewer, --device cuda another device")

    def counting(self, total: int, noun: str) -> AbstractContextManager[Callable[[int], None]]:
        """Return the progress bar."""
        return counting(total, noun)


def show_solution(solution: Solution, *, as_json: bool) -> None:
    """Print a solution on stdout."""
    print_result(solution_document(solution), solution_screen(solution), as_json=as_json)


def solution_document(solution: Solution) -> dict[str, Any]:
    """Describe a solution as plain data."""
    if isinstance(solution, PuzzleSolution):
        return puzzle_document(solution)
    return arc_document(solution) if isinstance(solution, ArcSolution) else demonstrated_document(solution)


def solution_screen(solution: Solution) -> RenderableType:
    """Show a solution on a screen."""
    if isinstance(solution, PuzzleSolution):
        return puzzle_screen(solution)
    return arc_screen(solution) if isinstance(solution, ArcSolution) else demonstrated_screen(solution)


def solution_text(solution: Solution) -> str:
    """A solution as text of at most eighty columns."""
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(solution_screen(solution))
    return str(console.file.getvalue()).rstrip()  # type: ignore[attr-defined]


def solution_html(solution: Solution) -> str:
    """A solution as HTML with colours, for a notebook."""
    console = Console(file=io.StringIO(), width=100, record=True, color_system="truecolor", force_terminal=True)
    console.print(solution_screen(solution))
    return console.export_html(inline_styles=True, code_format="<pre style='line-height:1.2'>{code}</pre>")
