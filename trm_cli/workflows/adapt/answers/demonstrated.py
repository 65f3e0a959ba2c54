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
from numpy.typing import NDArray

from trm_cli.data import counter_rng, dihedral
from trm_cli.data.arc import transforms
from trm_cli.data.arc.encoding import Grid
from trm_cli.data.arc.identifiers import IDENTIFIERS_NAME, ArcIdentifiers
from trm_cli.data.arc.transforms import Transform, augment_grid
from trm_cli.data.files.array_file import read_array
from trm_cli.data.files.json_file import read_json
from trm_cli.data.stream.boards import answered_grid
from trm_cli.data.stream.rows import grid_row
from trm_cli.data.stream.shape import StreamShape, stream_shape
from trm_cli.data.stream.storage.plan import AUGMENTATIONS_NAME
from trm_cli.evaluation.partial_results import Columns, PartialResult, digest
from trm_cli.evaluation.scores.arc_votes import Ballot, key_of
from trm_cli.models.thinking import think
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
    """One row of the vote: a task by its place, a test input of it, and the augmentation that both are shown in.

    identifier: the row of the puzzle table that has learned this; 0: none has.
    """

    task: int
    given: Grid
    shown: Transform
    identifier: int


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
    learned = {} if data is None else _learned_codes(data)
    for number in range(votes):
        for place, task in enumerate(tasks):
            first, codes = learned.get(task.name, (0, np.zeros(1, np.uint32)))
            known = number < len(codes) and (number == 0 or codes[number] > 0)
            shown = _transform(codes[number] if known else _drawn(place, number))
            for given in task.inputs:
                if given is not None:
                    yield _VoteRow(place, given, shown, first + number if known and first else 0)


def _learned_codes(data: Path) -> dict[str, tuple[int, NDArray[np.uint32]]]:
    """The identifier of each plain task of a stream dataset, and the codes of its augmentations, itself first."""
    names = read_json(data / IDENTIFIERS_NAME)
    path = data / AUGMENTATIONS_NAME
    codes = read_array(path, 2).astype(np.uint32) if path.is_file() else np.zeros((len(names) - 1, 1), np.uint32)
    first = range(1, len(names), codes.shape[1])
    return {names[number]: (number, own) for number, own in zip(first, codes, strict=True)}


def _drawn(task: int, number: int) -> np.uint32:
    codes = counter_rng.integers(0, "adapt/votes", (np.array([task]), np.array([number])), transforms.CODES)
    return np.uint32(codes[0])


def _transform(code: np.uint32) -> Transform:
    symmetries, permutations = transforms.decode(np.array([code]))
    return Transform(int(symmetries[0]), tuple(map(int, permutations[0])))


def _answer(
    model: Network, shape: StreamShape, tasks: tuple[Challenge, ...], rows: list[_VoteRow], device: torch.device
) -> Columns:
    """Answers [b, 900] with their sides [b, 2], turned back, and the probability that they are right [b]."""
    made = [
        grid_row(
            shape,
            augment_grid(row.given, row.shown),
            None,
            [(augment_grid(a, row.shown), augment_grid(b, row.shown)) for a, b in tasks[row.task].demonstrations],
            identifier=row.identifier,
        )
        for row in rows
    ]
    batch = {name: torch.as_tensor(np.concatenate([one[name] for one in made])).to(device) for name in made[0]}
    *_, last = think(model, batch)
    answers = model.answer(last.outputs).cpu().numpy()
    grids = [
        augment_grid(answered_grid(answer, shape.side), _inverse(row.shown))
        for answer, row in zip(answers, rows, strict=True)
    ]
    cells = np.zeros((len(rows), shape.cells), np.uint8)
    for target, grid in zip(cells, grids, strict=True):
        target[: grid.size] = grid.reshape(-1)
    sides = np.array([grid.shape for grid in grids], np.uint8)
    return {"cells": cells, "sides": sides, "sure": torch.sigmoid(last.outputs.q_halt.float()).cpu().numpy()}


def _inverse(shown: Transform) -> Transform:
    """What undoes a transform: colours and symmetry do not depend on each other."""
    return Transform(dihedral.INVERSE[shown.symmetry], tuple(np.argsort(shown.permutation).tolist()))


def _count(ballot: Ballot, rows: list[_VoteRow], columns: Columns) -> None:
    for row, cells, sides, sure in zip(rows, columns["cells"], columns["sides"], columns["sure"], strict=True):
        grid = cells[: int(sides[0]) * int(sides[1])].reshape(int(sides[0]), int(sides[1]))
        ballot.cast(row.task, key_of(row.given), key_of(grid), float(sure))


def _identifiers(tasks: tuple[Challenge, ...]) -> ArcIdentifiers:
    """The plain tasks, in order."""
    owners = np.arange(len(tasks), dtype=np.int32)
    return ArcIdentifiers(tuple(task.name for task in tasks), owners, np.zeros(len(tasks), np.uint32))
