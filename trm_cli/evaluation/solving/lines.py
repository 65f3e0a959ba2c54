"""Solve a file of puzzles, one a line: each line gets an answer, or the reason why it cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from trm_cli.data.puzzles.families import TextFamily
from trm_cli.data.puzzles.sudoku_text import table_fields
from trm_cli.errors import UsageError
from trm_cli.evaluation.solving.checked import Checked, solve_checked

if TYPE_CHECKING:
    from trm_cli.data.puzzles.views import Views
    from trm_cli.models.network import Network


@dataclass(frozen=True)
class Line:
    """One line of a file. tokens: None where it cannot be read, for the reason `problem`."""

    number: int
    tokens: tuple[int, ...] | None
    problem: str = ""


@dataclass(frozen=True)
class Answer:
    """A line's answer: how sure the model is of it, whether the rules confirm it, and after how many views."""

    line: Line
    tokens: tuple[int, ...]
    confidence: float
    solved: bool
    views: int


def read_lines(lines: Sequence[str], family: TextFamily) -> list[Line]:
    """Parse every line that is not empty, in order; of a table its first field that is a puzzle, without the header."""
    found: list[Line] = []
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            found.append(Line(number, _parse(text, family)))
        except UsageError as error:
            if found or not _is_header(text):
                found.append(Line(number, None, error.message))
    return found


def _parse(text: str, family: TextFamily) -> tuple[int, ...]:
    try:
        return tuple(family.parse(text))
    except UsageError:
        board = next((field for field in table_fields(text) if len(field) == family.cells), None)
        if board is None or board == text:
            raise
        return tuple(family.parse(board))


def _is_header(line: str) -> bool:
    """Whether the first line of a list names the columns of a table."""
    return all(field.replace("_", "").isalpha() or not field for field in table_fields(line))


def solve_lines(
    model: Network,
    lines: Sequence[Line],
    family: TextFamily,
    device: torch.device,
    *,
    steps: int | None,
    batch_size: int,
    views: Views,
    most: int,
) -> Iterator[list[Line | Answer]]:
    """Yield batches of answers in the order of the lines; a line that could not be read is yielded as it is.

    views, most: see `solve_checked`.
    """
    for first in range(0, len(lines), batch_size):
        batch = lines[first : first + batch_size]
        readable = [line for line in batch if line.tokens is not None]
        puzzles = np.array([line.tokens for line in readable])
        made = solve_checked(model, puzzles, family, views, device, most=most, steps=steps) if readable else []
        answers = iter(made)
        yield [line if line.tokens is None else _answer(line, next(answers)) for line in batch]


def _answer(line: Line, made: Checked) -> Answer:
    last = made.path[-1]
    return Answer(line, last.answer, last.confidence, made.solved, made.views)
