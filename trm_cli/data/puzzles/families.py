"""Parse puzzles typed as text into tokens, and check answers by the rules of the puzzle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trm_cli.data.puzzles import sudoku_text
from trm_cli.data.puzzles.maze_text import judge_maze, maze_line, parse_maze
from trm_cli.data.puzzles.sudoku_search import count_solutions
from trm_cli.errors import UsageError


@dataclass(frozen=True)
class RuleCheck:
    """Whether an answer solves a puzzle, by the rules of the puzzle alone, and the reason."""

    solved: bool
    reason: str


@dataclass(frozen=True)
class Sudoku:
    """Boards whose boxes are `box` = (rows, columns)."""

    box: tuple[int, int]
    cells: int

    def parse(self, text: str) -> list[int]:
        """Return the tokens [cells] of a board whose clues do not contradict each other. Raises UsageError."""
        tokens = sudoku_text.parse_sudoku(text, self.cells)
        if clashes := sudoku_text.conflicts(tokens, self.box):
            side, digit = self.box[0] * self.box[1], tokens[clashes[0]]
            places = [divmod(cell, side) for cell in clashes if tokens[cell] == digit]
            where = " and in ".join(f"row {row + 1} column {column + 1}" for row, column in places)
            raise UsageError(f"the clues contradict each other: {sudoku_text.symbol(digit)} in {where}")
        return tokens

    def line(self, tokens: Sequence[int]) -> str:
        """A board in one line."""
        return "".join(sudoku_text.symbol(token) for token in tokens)

    def remark(self, puzzle: Sequence[int]) -> str:
        """Return what a bounded search finds of the puzzle itself, where that is not one solution."""
        found = count_solutions(puzzle, self.box)
        return "" if found in (None, 1) else f"the puzzle has {'several solutions' if found else 'no solution'}"

    def judge(self, puzzle: Sequence[int], answer: Sequence[int]) -> RuleCheck:
        """Return whether every rule holds and every clue is kept."""
        if sudoku_text.is_solution(answer, puzzle, self.box):
            return RuleCheck(True, "every rule holds")
        if clashes := sudoku_text.conflicts(answer, self.box):
            return RuleCheck(False, f"{len(clashes)} cells break a rule")
        return RuleCheck(False, "the answer changes a clue or leaves a blank")


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

    def remark(self, puzzle: Sequence[int]) -> str:  # noqa: ARG002  # the interface of a family
        """Return nothing: of several shortest ways any is right."""
        return ""

    def judge(self, puzzle: Sequence[int], answer: Sequence[int]) -> RuleCheck:
        """Return whether the marked cells are a shortest way."""
        return RuleCheck(*judge_maze(puzzle, answer))


TextFamily = Sudoku | Maze
