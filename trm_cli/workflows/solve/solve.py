"""Solve one puzzle with a trained model: a board, a maze, or an ARC task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trm_cli.errors import UsageError
from trm_cli.workflows.observers import SolveObserver
from trm_cli.workflows.solve.request import SolveRequest
from trm_cli.workflows.trained_model import load, sealed_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import torch

    from trm_cli.data.puzzles.families import TextFamily
    from trm_cli.data.puzzles.views import Views
    from trm_cli.evaluation.solving.puzzle import AnswerStep
    from trm_cli.training.run.sealed_config import Sealed
    from trm_cli.training.run.trained_model import TrainedModel
    from trm_cli.workflows.solve.arc import ArcSolution
    from trm_cli.workflows.solve.demonstrated import DemonstratedSolution


#: Views of a puzzle that are tried where nothing else is asked for: most puzzles need one.
MOST_VIEWS = 32


@dataclass(frozen=True)
class PuzzleSolution:
    """A puzzle as tokens, and the model's answer after each supervision step, in the view that solved it.

    views: how many were made; solved: whether an answer keeps the rules, else `path` is that to the puzzle itself.
    """

    puzzle: Sequence[int]
    family: TextFamily
    path: Sequence[AnswerStep]
    solved: bool
    views: int
    checkpoint: Path
    step: int


if TYPE_CHECKING:
    Solution = PuzzleSolution | ArcSolution | DemonstratedSolution


def solve(request: SolveRequest, observer: SolveObserver | None = None) -> Solution:
    """Load the model and solve one puzzle. Raises TrmError."""
    observer = observer or SolveObserver()
    _check(sealed_of(request.run), request)  # before anything that takes seconds to load
    trained, device = load(request.run, request.device, observer.note)
    return solve_with(trained, device, request, observer)


def solve_with(trained: TrainedModel, device: torch.device, request: SolveRequest, observer: SolveObserver) -> Solution:
    """Solve one puzzle with a model that is loaded. Raises TrmError."""
    from trm_cli.data.puzzles.families import Maze
    from trm_cli.workflows.other_size import fit_maze
    from trm_cli.workflows.solve.arc import solve_by_vote

    _check(trained, request)
    if trained.config.board_side is not None:
        return _from_demonstrations(request, trained, device, observer)
    family = puzzle_family(trained, request.run)
    if family is None:
        return solve_by_vote(trained, request, device, observer)
    if isinstance(family, Maze):
        trained, cells = fit_maze(trained, request.text, device, observer.note)
        family = Maze(cells)
    most, tokens = request.views or MOST_VIEWS, family.parse(request.text)
    with observer.counting(most, "views") as advance:
        return solve_puzzle(trained, tokens, family, device, steps=request.steps, most=most, progress=advance)


def _check(trained: TrainedModel | Sealed, request: SolveRequest) -> None:
    """Read the puzzle as the run's data says it is written. Raises UsageError for what cannot be asked."""
    from trm_cli.data.puzzles.families import Maze
    from trm_cli.workflows.other_size import maze_cells

    if trained.config.board_side is not None:
        _arc_task(request)
        return
    family = puzzle_family(trained, request.run)
    if family is None:
        _arc_task(request)
        return
    if request.task is not None or request.votes is not None:
        raise UsageError(f"--task and --votes are for ARC tasks; {request.run} was trained on other puzzles")
    if isinstance(family, Maze):
        family = Maze(maze_cells(trained, request.text))
    family.parse(request.text)


def _arc_task(request: SolveRequest) -> None:
    from trm_cli.data.arc.task import parse_arc_task

    parse_arc_task(request.text, request.task or _named_by_file(request))


def solve_puzzle(
    trained: TrainedModel,
    tokens: Sequence[int],
    family: TextFamily,
    device: torch.device,
    *,
    steps: int | None = None,
    most: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> PuzzleSolution:
    """Solve one board or maze, in up to `most` views."""
    import numpy as np

    from trm_cli.evaluation.solving.checked import solve_checked
    from trm_cli.training.hardware.torch_runtime import set_threads

    set_threads(1)  # one small puzzle: threads would only wait for each other
    [made] = solve_checked(
        trained.model, np.array([tokens]), family, views_for(trained), device, most=most, steps=steps, progress=progress
    )
    return PuzzleSolution(tokens, family, made.path, made.solved, made.views, trained.checkpoint, trained.step)


def views_for(trained: TrainedModel) -> Views:
    """The views of the puzzles of a run whose puzzles can be typed."""
    from trm_cli.data.puzzles.views import views_of

    views = views_of(trained.metadata)
    assert views is not None
    return views


def puzzle_family(trained: TrainedModel | Sealed, run: str) -> TextFamily | None:
    """Return the text format of the puzzles of a run; None for ARC tasks. Raises UsageError for other data."""
    from trm_cli.data.puzzles.kinds import kind_of

    kind = kind_of(trained.metadata)
    family = kind.typed(trained.metadata)
    if family is None and not kind.votes:
        raise UsageError(
            f"{run} was trained on {trained.metadata.kind or 'other'} rows",
            hint="solve reads Sudoku boards, mazes and ARC tasks",
        )
    return family


def _from_demonstrations(
    request: SolveRequest, trained: TrainedModel, device: torch.device, observer: SolveObserver
) -> DemonstratedSolution:
    from trm_cli.workflows.solve import demonstrated

    task = request.task or _named_by_file(request)
    votes = request.votes or demonstrated.VOTES
    return demonstrated.solve(trained, request.text, device, observer, task=task, steps=request.steps, votes=votes)


def _named_by_file(request: SolveRequest) -> str | None:
    """The name of an ARC task by its file."""
    return request.file.stem if request.file is not None and request.file.suffix == ".json" else None
