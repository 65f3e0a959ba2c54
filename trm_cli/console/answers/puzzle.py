"""The answer to a Sudoku or a maze: its steps, the model's confidence, and whether the rules hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from trm_cli.console.answers.steps import about_model, changed_steps, side_by_side, step_title
from trm_cli.console.boards import board_text
from trm_cli.data.puzzles.families import Maze, Sudoku
from trm_cli.data.puzzles.maze_text import CHARACTERS, START, WALL
from trm_cli.data.puzzles.sudoku_text import conflicts, symbol

if TYPE_CHECKING:
    from trm_cli.workflows.solve.solve import PuzzleSolution

#: Mazes are large: at most so many answers to one are drawn.
_MAZES = 3


def puzzle_screen(solution: PuzzleSolution) -> Group:
    """Show the puzzle and the answer at each step that changed it, side by side, and whether it is solved."""
    puzzle, family, path = solution.puzzle, solution.family, solution.path
    before, pictures = puzzle, [("puzzle", _board(family, puzzle, puzzle, puzzle))]
    for step, answer, sure in changed_steps([one[:3] for one in path], _MAZES if isinstance(family, Maze) else None):
        pictures.append((step_title(step, sure), _board(family, puzzle, before, answer)))
        before = answer
    found = family.judge(puzzle, path[-1].answer)
    if found.solved:
        where = f" in view {solution.views} of the puzzle" if solution.views > 1 else ""
        verdict = Text(f"solved: {found.reason}; unchanged since step {step} of {path[-1].step}{where}", "bold")
    else:
        tried = f"; so in {solution.views} views of the puzzle" if solution.views > 1 else ""
        verdict = Text(f"not solved: {found.reason} after {path[-1].step} steps{tried}", "bold red")
    remark = family.remark(puzzle)
    return Group(side_by_side(pictures), verdict, *([Text(remark, "yellow")] if remark else []))


def _board(family: Sudoku | Maze, puzzle: Sequence[int], before: Sequence[int], answer: Sequence[int]) -> Text:
    """Draw an answer: what is given bold, what has changed since the answer before green, broken rules red."""
    styles = ["green" if now != old else "" for now, old in zip(answer, before, strict=True)]
    if isinstance(family, Sudoku):
        for cell in conflicts(answer, family.box):
            styles[cell] = "red"
        styles = ["bold" if clue > 1 else style for clue, style in zip(puzzle, styles, strict=True)]
        return board_text([symbol(token) for token in answer], styles, family.box[0] * family.box[1], family.box)
    styles = [
        "dim" if token == WALL else style or ("bold" if token >= START else "")
        for token, style in zip(answer, styles, strict=True)
    ]
    symbols = [CHARACTERS[token] if token < len(CHARACTERS) else "?" for token in answer]
    return board_text(symbols, styles, family.side, None)


def puzzle_document(solution: PuzzleSolution) -> dict[str, Any]:
    """Describe a solution as plain data."""
    puzzle, family, last = solution.puzzle, solution.family, solution.path[-1].answer
    return {
        **about_model(solution.checkpoint, solution.step),
        "puzzle": family.line(puzzle),
        "answer": family.line(last),
        "solved": solution.solved,
        "views": solution.views,
        "remark": family.remark(puzzle) or None,
        "steps": [
            {"step": one.step, "answer": family.line(one.answer), "q_halt": one.confidence, "residual": one.residual}
            for one in solution.path
        ],
    }
