"""The path of a solution: how the answer changed, how sure the model was, and whether the rules hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.columns import Columns
from rich.console import Group
from rich.text import Text

from trm_cli.console.answers.boards import path_of_boards
from trm_cli.console.answers.document import about_model
from trm_cli.data.puzzles.families import Sudoku
from trm_cli.data.puzzles.maze_text import CHARACTERS, WAY

if TYPE_CHECKING:
    from trm_cli.evaluation.solving.puzzle import AnswerStep
    from trm_cli.workflows.solve.solve import PuzzleSolution

#: Mazes are large: at most so many stages of one answer are drawn.
_MAZES = 3


def puzzle_screen(solution: PuzzleSolution) -> Group:
    """The puzzle and the answer at each step at which it changed, side by side, and a verdict."""
    puzzle, thoughts, family = solution.puzzle, solution.thoughts, solution.family
    stages = changes(thoughts)
    last, settled = thoughts[-1], stages[-1].step
    titled = [(f"step {one.step}  {one.confidence:.0%}", one.answer) for one in stages]
    if isinstance(family, Sudoku):
        picture = path_of_boards(puzzle, titled, family.box)
    else:
        picture = _path_of_mazes(puzzle, [*titled[: _MAZES - 1], *titled[_MAZES - 1 :][-1:]], family.side)
    found = family.judge(puzzle, last.answer)
    if found.solved:
        verdict = Text(f"solved: {found.reason}; unchanged since step {settled} of {last.step}", "bold")
    else:
        verdict = Text(f"not solved: {found.reason} after {last.step} steps", "bold red")
    return Group(picture, verdict)


def _path_of_mazes(puzzle: Sequence[int], titled: Sequence[tuple[str, Sequence[int]]], side: int) -> Columns:
    """Mazes side by side; what an answer changed since the one before is green."""
    frames = [Group(Text("puzzle", style="bold"), _maze(puzzle, puzzle, side))]
    before = puzzle
    for title, answer in titled:
        frames.append(Group(Text(title, style="bold"), _maze(answer, before, side)))
        before = answer
    return Columns(frames, padding=(1, 3))


def _maze(tokens: Sequence[int], before: Sequence[int], side: int) -> Text:
    text = Text(no_wrap=True)
    for cell, token in enumerate(tokens):
        if cell and cell % side == 0:
            text.append("\n")
        style = "dim" if token == 1 else "green" if token != before[cell] else "bold" if token >= WAY - 2 else ""
        text.append(CHARACTERS[token] if token < len(CHARACTERS) else "?", style)
    return text


def puzzle_document(solution: PuzzleSolution) -> dict[str, Any]:
    """The same as plain data."""
    puzzle, thoughts, family = solution.puzzle, solution.thoughts, solution.family
    return {
        **about_model(solution.checkpoint, solution.step),
        "puzzle": family.line(puzzle),
        "answer": family.line(thoughts[-1].answer),
        "solved": family.judge(puzzle, thoughts[-1].answer).solved,
        "steps": [{"step": one.step, "answer": family.line(one.answer), "q_halt": one.confidence} for one in thoughts],
    }


def changes(thoughts: Sequence[AnswerStep]) -> list[AnswerStep]:
    """The steps whose answer differs from the one before; the first is always one of them."""
    return [
        one
        for before, one in zip([None, *thoughts], thoughts, strict=False)
        if not before or before.answer != one.answer
    ]
