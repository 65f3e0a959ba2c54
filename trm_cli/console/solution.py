"""The path of a solution: how the answer changed, how sure the model was, and whether the rules hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from trm_cli.console.boards import path_of_boards
from trm_cli.data.puzzle_text import conflicts, is_solution, symbol

if TYPE_CHECKING:
    from trm_cli.evaluation.solving import Thought


def solution_screen(puzzle: Sequence[int], thoughts: Sequence[Thought], box: tuple[int, int]) -> Group:
    """Boards side by side, one for each step at which the answer changed, and a verdict."""
    answers = [(f"step {one.step}  {one.confidence:.0%}", one.answer) for one in changes(thoughts)]
    last = thoughts[-1]
    settled = changes(thoughts)[-1].step
    if is_solution(last.answer, puzzle, box):
        verdict = Text(f"solved: every rule holds; the answer stands from step {settled} of {last.step} on", "bold")
    elif clashes := conflicts(last.answer, box):
        verdict = Text(f"not solved: {len(clashes)} cells break a rule after {last.step} steps", "bold red")
    else:
        verdict = Text(f"not solved: the answer changes a clue or leaves a blank after {last.step} steps", "bold red")
    return Group(path_of_boards(puzzle, answers, box), verdict)


def solution_document(
    puzzle: Sequence[int], thoughts: Sequence[Thought], box: tuple[int, int], checkpoint: Path, step: int
) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "schema_version": 1,
        "checkpoint": str(checkpoint),
        "trained_steps": step,
        "puzzle": _line(puzzle),
        "answer": _line(thoughts[-1].answer),
        "solved": is_solution(thoughts[-1].answer, puzzle, box),
        "steps": [{"step": one.step, "answer": _line(one.answer), "q_halt": one.confidence} for one in thoughts],
    }


def changes(thoughts: Sequence[Thought]) -> list[Thought]:
    """The steps whose answer differs from the one before; the first is always one of them."""
    return [
        one
        for before, one in zip([None, *thoughts], thoughts, strict=False)
        if not before or before.answer != one.answer
    ]


def _line(tokens: Sequence[int]) -> str:
    return "".join(symbol(token) for token in tokens)
