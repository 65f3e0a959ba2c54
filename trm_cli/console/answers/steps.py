"""The answer after each step: which steps are shown, side by side on the screen, and as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from rich.columns import Columns
from rich.console import Group
from rich.text import Text

from trm_cli.console.boards import grid_text
from trm_cli.console.output import shows_colours, stdout
from trm_cli.console.tables import counted
from trm_cli.workflows.solve.arc import ATTEMPTS

if TYPE_CHECKING:
    from trm_cli.data.arc.encoding import Grid
    from trm_cli.evaluation.scores.arc_votes import Candidate

_SHOWN_GRIDS = 3
#: Inputs of one task that a screen draws; --json has all.
MOST_SHOWN = 20
Answer = TypeVar("Answer", bound=ArrayLike)


def changed_steps(
    path: Sequence[tuple[int, Answer, float]], most: int | None = None
) -> list[tuple[int, Answer, float]]:
    """Choose the steps (number, answer, probability) that changed the answer, the first of all steps among them.

    most: of more changes than that, the first ones and the last.
    """
    answers = [answer for _, answer, _ in path]
    changed = [not place or not np.array_equal(answers[place - 1], answer) for place, answer in enumerate(answers)]
    found = list(compress(path, changed))
    return found if most is None else [*found[: most - 1], *found[most - 1 :][-1:]]


def step_title(step: int, probability: float) -> str:
    """Name a step, with the probability of being right that the model gave."""
    return f"step {step}  {probability:.0%}"


def side_by_side(pictures: Iterable[tuple[str, Text]]) -> Columns:
    """Show pictures beside each other, each under its title."""
    return Columns([Group(Text(title, "bold"), picture) for title, picture in pictures], padding=(1, 3))


def answered_grids(
    given: Grid, path: Sequence[tuple[int, Grid, float]], more: Iterable[tuple[str, Grid]] = ()
) -> Columns:
    """Show the input of an ARC task, the steps that changed its answer, and more titled grids."""
    steps = [(step_title(step, sure), grid) for step, grid, sure in changed_steps(path, _SHOWN_GRIDS)]
    coloured = shows_colours(stdout())
    return side_by_side((title, grid_text(grid, coloured)) for title, grid in [("input", given), *steps, *more])


def attempt_grids(candidates: Sequence[Candidate]) -> list[tuple[str, Grid]]:
    """The attempts that a vote chose, each with its votes as a title."""
    chosen = enumerate(candidates[:ATTEMPTS], 1)
    return [(f"attempt {rank}: {counted(one.votes, 'vote')}", one.grid) for rank, one in chosen]


def attempts_document(candidates: Sequence[Candidate]) -> list[dict[str, Any]]:
    """The same as plain data, the vote's first choice first."""
    return [
        {"output": one.grid.tolist(), "votes": one.votes, "q_halt": one.confidence} for one in candidates[:ATTEMPTS]
    ]


def not_shown(inputs: int) -> list[Text]:
    """Say how many test inputs a screen leaves out."""
    return [Text(f"{inputs - MOST_SHOWN:,} more test inputs: --json prints all")] if inputs > MOST_SHOWN else []


def about_model(checkpoint: Path, step: int) -> dict[str, Any]:
    """The first keys of each document: which checkpoint answered."""
    return {"checkpoint": str(checkpoint), "checkpoint_step": step}


def answered_input(
    given: Grid, final: dict[str, Any], solved: bool | None, path: Iterable[tuple[int, Grid, float]]
) -> dict[str, Any]:
    """Describe an answered input of an ARC task as plain data. final: the keys of the answer that counts."""
    steps = [{"step": step, "answer": grid.tolist(), "q_halt": sure} for step, grid, sure in path]
    return {"input": given.tolist(), **final, "solved": solved, "steps": steps}
