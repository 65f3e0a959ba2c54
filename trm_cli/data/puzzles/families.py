"""Parse puzzles typed as text into tokens, and check answers by the rules of the puzzle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trm_cli.data.puzzles import sudoku_text
from trm_cli.data.puzzles.maze_text import judge_maze, maze_line, parse_maze


@dataclass(frozen=True)
class Verdict:
    """The verdict on an answer by the rules of the puzzle alone, with its reason."""

    solved: bool
    reason: str


@dataclass(frozen=True)
class Sudoku:
    """Boards whose boxes are `box` = (rows, columns)."""

    box: tuple[int, int]
    cells: int

    def parse(self, text: str) -> list[int]:
        """Tokens [cells] of a board. Raises UsageError."""
        return sudoku_text.parse_sudoku(text, self.cells)

    def line(self, tokens: Sequence[int]) -> str:
        """A board in one line."""
        return "".join(sudoku_text.symbol(token) for token in tokens)

    def judge(self, puzzle: Sequence[int], answer: Sequence[int]) -> Verdict:
        """Return whether every rule holds and every clue is kept."""
        if sudoku_text.is_solution(answer, puzzle, self.box):
            return Verdict(True, "every rule holds")
        if clashes := sudoku_text.conflicts(answer, self.box):
            return Verdict(False, f"{len(clashes)} cells break a rule")
        return Verdict(False, "the answer changes a clue or leaves a blank")


@dataclass(frozen=True)
class Maze:
    """Square mazes."""

    cells: int

    @property
    def side(self) -> int:
        """Rows, and columns."""
        return math.isqrt(self.cells)

    def parse(self, text: str) -> list[int]:
        """Tokens [cells] of a maze. Raises UsageError."""
        return parse_maze(text, self.cells)

    def line(self, tokens: Sequence[int]) -> str:
        """A maze in one line."""
        return maze_line(tokens)

    def judge(self, puzzle: Sequence[int], answer: Sequence[int]) -> Verdict:
        """Return whether the marked cells are a shortest way."""
        return Verdict(*judge_maze(puzzle, answer))


TextFamily = Sudoku | Maze
