"""Vote with a network that reads the demonstrations of a task beside its test input, and needs no row for it.

Every augmentation turns and recolours demonstrations and test input alike; the answer is turned back and votes. The
plain task votes first, and every batch is durable before the next one begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from trm_cli.data.arc.encoding import Grid
from trm_cli.data.arc.identifiers import ArcIdentifiers
from trm_cli.data.stream.augmentations import UNKNOWN, View, learned_tasks, view
from trm_cli.data.stream.shape import StreamShape, stream_shape
from trm_cli.evaluation.partial_results import Columns, PartialResult, digest
from trm_cli.evaluation.scores.arc_votes import Ballot, key_of
from trm_cli.evaluation.solving.demonstrated import answers_by_step, shown_row
from trm_cli.paths import is_dir
from trm_cli.training.run_files import LATEST
from trm_cli.workflows.adapt.answers.voting import BATCH, BATCH_ELSEWHERE, Vote

if TYPE_CHECKING:
    from trm_cli.data.arc.challenges import Challenge, Challenges
    from trm_cli.models.network import Network
    from trm_cli.training.run.trained_model import TrainedModel
    from trm_cli.workflows.adapt.request import AdaptObserver


@dataclass(frozen=True)
class _VoteRow:
    """One row of the vote: a task by its place, a test input of it, and the view in which both are shown."""

    task: int
    given: Grid
    view: View


def vote_from_demonstrations(
    weights: Path,
    folder: Path,
    challenges: Challenges,
    data: Path | None,
    *,
    votes: int,
    device: str,
    enough: Callable[[], bool],
    observer: AdaptObserver,
) -> Vote:
    """Cast `votes` votes for each test input of the usable tasks with the weights of a run or a file.

    folder: where partial results are kept. data: the dataset of the tasks, where they were learned. enough: asked after
    each batch. Raises TrmError.
    """
    from trm_cli.workflows.trained_model import load

    trained, where = load(str(weights / LATEST if is_dir(weights) else weights), device, observer.note)
    shape, rows = shape_of(trained), list(_rows(challenges.usable, votes, data))
    size = BATCH.get(where.type, BATCH_ELSEWHERE)
    facts = {"weights": str(weights), "step": trained.step, "tasks": challenges.digest, "votes": votes}
    partial = PartialResult(folder / digest({**facts, "batch_size": size, "device": where.type}))
    ballot, done = Ballot(_identifiers(challenges.usable)), 0
    with partial.held(), observer.voting(len(rows)) as advanced:
        for number, first in enumerate(range(0, len(rows), size)):
            batch = rows[first : first + size]
            columns = partial.read(number)
            found = columns is not None
            if columns is None:
                columns = _answer(trained.model, shape, challenges.usable, batch, where)
                partial.write(number, columns)
            _count(ballot, batch, columns)
            done += len(batch)
            advanced(done, found)
            if done < len(rows) and not found and enough():
                break
    return Vote(ballot, done, complete=done == len(rows))


def shape_of(trained: TrainedModel) -> StreamShape:
    """The shape of the rows that a network was trained on."""
    assert trained.config.board_side is not None
    return stream_shape(trained.metadata, trained.config.board_side, str(trained.checkpoint))


def _rows(tasks: tuple[Challenge, ...], votes: int, data: Path | None) -> Iterator[_VoteRow]:
    """All rows, by augmentation: the plain task is the first. Those that were learned come before others."""
    learned = {} if data is None else learned_tasks(data)
    for number in range(votes):
        for place, task in enumerate(tasks):
            shown = view(learned.get(task.name, UNKNOWN), number, place)
            for given in task.inputs:
                if given is not None:
                    yield _VoteRow(place, given, shown)


def _answer(
    model: Network, shape: StreamShape, tasks: tuple[Challenge, ...], rows: list[_VoteRow], device: torch.device
) -> Columns:
    """Answers [b, 900] with their sides [b, 2], turned back, and the probability that they are right [b]."""
    shown = [row.view for row in rows]
    made = [shown_row(shape, row.given, tasks[row.task].demonstrations, row.view) for row in rows]
    *_, last = answers_by_step(model, shape, made, shown, device)
    grids, sure = zip(*last, strict=True)
    cells = np.zeros((len(rows), shape.cells), np.uint8)
    for target, grid in zip(cells, grids, strict=True):
        target[: grid.size] = grid.reshape(-1)
    sides = np.array([grid.shape for grid in grids], np.uint8)
    return {"cells": cells, "sides": sides, "sure": np.array(sure, np.float32)}


def _count(ballot: Ballot, rows: list[_VoteRow], columns: Columns) -> None:
    for row, cells, sides, sure in zip(rows, columns["cells"], columns["sides"], columns["sure"], strict=True):
        grid = cells[: int(sides[0]) * int(sides[1])].reshape(int(sides[0]), int(sides[1]))
        ballot.cast(row.task, key_of(row.given), key_of(grid), float(sure))


def _identifiers(tasks: tuple[Challenge, ...]) -> ArcIdentifiers:
    """The plain tasks, in order."""
    owners = np.arange(len(tasks), dtype=np.int32)
    return ArcIdentifiers(tuple(task.name for task in tasks), owners, np.zeros(len(tasks), np.uint32))
