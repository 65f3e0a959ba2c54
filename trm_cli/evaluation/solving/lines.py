"""Solve a file of puzzles, one a line: each line gets an answer, or the reason why it cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from trm_cli.data.puzzles.families import TextFamily
from trm_cli.errors import UsageError
from trm_cli.evaluation.solving.puzzle import answers_by_step

if TYPE_CHECKING:
    from trm_cli.models.network import Network


@dataclass(frozen=True)
class Line:
    """One line of a file. tokens: None where it cannot be read, for the reason `problem`."""

    number: int
    tokens: tuple[int, ...] | None
    problem: str = ""


@dataclass(frozen=True)
class Answer:
    """A line's answer: how sure the model is of it, and whether the rules of the puzzle confirm it."""

    line: Line
    tokens: tuple[int, ...]
    confidence: float
    solved: bool


def read_lines(lines: Sequence[str], family: TextFamily) -> list[Line]:
    """Parse every line that is not empty, in order."""
    found = []
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            found.append(Line(number, tuple(family.parse(text))))
        except UsageError as error:
            found.append(Line(number, None, error.message))
    return found


def solve_lines(
    model: Network,
    lines: Sequence[Line],
    family: TextFamily,
    device: torch.device,
    *,
    steps: int | None,
    batch_size: int,
) -> Iterator[list[Line | Answer]]:
    """Yield batches of answers in the order of the lines; a line that could not be read is yielded as it is."""
    for first in range(0, len(lines), batch_size):
        batch = lines[first : first + batch_size]
        readable = [line for line in batch if line.tokens is not None]
        answers = iter(_solve(model, readable, family, device, steps) if readable else [])
        yield [line if line.tokens is None else next(answers) for line in batch]


def _solve(
    model: Network, lines: Sequence[Line], family: TextFamily, device: torch.device, steps: int | None
) -> list[Answer]:
    puzzles = [line.tokens or () for line in lines]
    identifiers = np.zeros(len(lines), dtype=np.int32)
    *_, (answers, confidence) = answers_by_step(model, np.array(puzzles), identifiers, device, steps=steps)
    return [
        Answer(line, tuple(answer.tolist()), float(sure), family.judge(puzzle, answer.tolist()).solved)
        for line, puzzle, answer, sure in zip(lines, puzzles, answers, confidence, strict=True)
    ]
