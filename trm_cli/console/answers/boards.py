"""Sudoku boards in the terminal: clues bold, new digits green, broken rules red."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.columns import Columns
from rich.console import Group
from rich.text import Text

from trm_cli.data.puzzles.sudoku_text import conflicts, symbol


def board(
    tokens: Sequence[int],
    box: tuple[int, int],
    *,
    clues: Sequence[int] | None = None,
    changed: Collection[int] = (),
) -> Text:
    """A board with its boxes; `clues` are shown bold, `changed` cells green, cells in conflict red."""
    height, width = box
    side = height * width
    wrong = set(conflicts(tokens, box))
    rule = "+".join("-" * (2 * width + 1) for _ in range(height))
    text = Text()
    for row in range(side):
        if row and row % height == 0:
            text.append(rule + "\n", style="dim")
        for column in range(side):
            if column and column % width == 0:
                text.append(" |", style="dim")
            cell = row * side + column
            style = ""
            if clues is not None and clues[cell] > 1:
                style = "bold"
            elif cell in wrong:
                style = "red"
            elif cell in changed:
                style = "green"
            text.append(" ")
            text.append(symbol(tokens[cell]), style=style)
        text.append("\n")
    text.rstrip()
    return text


def path_of_boards(
    puzzle: Sequence[int], answers: Sequence[tuple[str, Sequence[int]]], box: tuple[int, int]
) -> Columns:
    """The puzzle and each titled answer side by side; an answer shows what it changed since the one before."""
    frames = [Group(Text("puzzle", style="bold"), board(puzzle, box, clues=puzzle))]
    before = puzzle
    for title, answer in answers:
        changed = [cell for cell, token in enumerate(answer) if token != before[cell]]
        frames.append(Group(Text(title, style="bold"), board(answer, box, clues=puzzle, changed=changed)))
        before = answer
    return Columns(frames, padding=(1, 3))
