"""Answers of a model as plain data: what the documents of several commands have in common."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trm_cli.data.arc.encoding import Grid


def about_model(checkpoint: Path, step: int) -> dict[str, Any]:
    """The first keys of each document: which checkpoint answered."""
    return {"checkpoint": str(checkpoint), "trained_steps": step}


def answered_input(
    given: Grid, said: dict[str, Any], solved: bool | None, path: Iterable[tuple[int, Grid, float]]
) -> dict[str, Any]:
    """A test input of an ARC task, what was answered in the end, and (step, grid, probability) on the way there."""
    steps = [{"step": step, "answer": grid.tolist(), "q_halt": sure} for step, grid, sure in path]
    return {"input": given.tolist(), **said, "solved": solved, "steps": steps}
