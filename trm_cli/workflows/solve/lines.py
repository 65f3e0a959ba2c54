"""Solve many puzzles, one a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trm_cli.errors import UsageError
from trm_cli.workflows.solve.solve import MOST_VIEWS, puzzle_family, views_for
from trm_cli.workflows.trained_model import load, sealed_of

if TYPE_CHECKING:
    from trm_cli.data.puzzles.families import TextFamily
    from trm_cli.evaluation.solving.lines import Answer, Line


@dataclass(frozen=True)
class LineSolutions:
    """Answers, computed batch by batch.

    puzzles: the number of lines that are not empty. batches: their answers in order; a line that cannot be parsed comes
    back as it is.
    """

    family: TextFamily
    puzzles: int
    batches: Iterator[list[Line | Answer]]
    checkpoint: Path
    step: int


def solve_lines(
    run: str,
    texts: Sequence[str],
    *,
    steps: int | None = None,
    views: int | None = None,
    device: str = "auto",
    source: str = "the list",
    notify: Callable[[str], None] = lambda _: None,
) -> LineSolutions:
    """Load the model and parse the lines. source: their name in error messages. Raises TrmError.

    views: of a puzzle that is not solved, at most; None: MOST_VIEWS.

    notify: receives messages for the user.
    """
    sealed = sealed_of(run)  # before anything that takes seconds to load
    if sealed.config.board_side is not None:
        raise UsageError("--all-solutions-of is for networks of tokens; this one reads a stream")
    family = puzzle_family(sealed, run)
    if family is None:
        raise UsageError("ARC tasks are solved one at a time", hint="many at once: trm evaluate")
    if not any(text.strip() for text in texts):
        raise UsageError(f"{source} holds no puzzle", hint="one puzzle a line")
    trained, where = load(run, device, notify)
    from trm_cli.evaluation.solving import lines

    found = lines.read_lines(texts, family)
    batch_size = 256 if where.type == "cuda" else 32
    batches = lines.solve_lines(
        trained.model, found, family, where, steps=steps, batch_size=batch_size, views=views_for(trained),
        most=views or MOST_VIEWS,
    )  # fmt: skip
    return LineSolutions(family, len(found), batches, trained.checkpoint, trained.step)
