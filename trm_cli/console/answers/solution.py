"""Print a solution of any kind, and the progress of solving."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

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
    if isinstance(solution, PuzzleSolution):
        print_result(puzzle_document(solution), puzzle_screen(solution), as_json=as_json)
    elif isinstance(solution, ArcSolution):
        print_result(arc_document(solution), arc_screen(solution), as_json=as_json)
    else:
        print_result(demonstrated_document(solution), demonstrated_screen(solution), as_json=as_json)
