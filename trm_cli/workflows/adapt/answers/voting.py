"""Vote on the test inputs of an adapted run: the plain tasks first, then augmentation after augmentation.

Every batch of votes is durable before the next one begins: a vote that is killed goes on, and one that is ended early
counts what there is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from trm_cli.evaluation.evaluator import Evaluation
    from trm_cli.evaluation.rows import Data, Scorer
    from trm_cli.evaluation.scores.arc_votes import Ballot
    from trm_cli.workflows.adapt.request import AdaptObserver
    from trm_cli.workflows.scores.evaluation_subject import Subject

BATCH = {"cuda": 256}
BATCH_ELSEWHERE = 32


class _Enough(Exception):
    """The vote is to end here."""


@dataclass(frozen=True)
class Vote:
    """The votes that were cast. rows: how many; complete: whether these are all that were wanted."""

    ballot: Ballot
    rows: int
    complete: bool


def vote(
    run: Path, folder: Path, *, votes: int | None, device: str, enough: Callable[[], bool], observer: AdaptObserver
) -> Vote:
    """Cast at most `votes` votes (None: all) for each test input with the newest weights of `run`.

    folder: where partial results are kept. enough: asked after each batch. Raises TrmError.
    """
    from trm_cli.evaluation.evaluator import Evaluation
    from trm_cli.evaluation.partial_results import PartialResult, digest
    from trm_cli.evaluation.rows import select

    subject, scorer = load_voter(run, votes, device, observer)
    size = subject.batch_size
    places = _plain_first(subject.data, select(subject.data, None, votes))
    partial = PartialResult(folder / digest(subject.facts()))
    evaluation = Evaluation(scorer, places, size, padded=False, partial=partial)
    with partial.held(), observer.voting(len(places)) as advanced:

        def report(done: int, found: bool) -> None:
            advanced(done, found)
            if done < len(places) and not found and enough():
                raise _Enough

        with suppress(_Enough):
            evaluation.run(report)
        return _count(evaluation)


def load_voter(
    run: Path, votes: int | None, device: str, observer: AdaptObserver, split: str = "test"
) -> tuple[Subject, Scorer]:
    """Load the newest weights of a run and the rows that they are asked. Raises TrmError."""
    from trm_cli.evaluation.rows import Scorer
    from trm_cli.training.hardware.devices import choose_device
    from trm_cli.training.run_files import LATEST
    from trm_cli.workflows.scores.evaluation_subject import EvaluationRequest, prepare

    chosen = choose_device(device).value
    size = BATCH.get(chosen, BATCH_ELSEWHERE)
    wanted = EvaluationRequest(run=str(run / LATEST), split=split, votes=votes, batch_size=size, device=chosen)
    subject = prepare(wanted, observer.note)
    trained, least = subject.trained, subject.trained.config.micro_batch_size
    scorer = Scorer(trained.model, subject.data, subject.device, subject.protocol, True, None, micro_batch_size=least)
    return subject, scorer


def _plain_first(data: Data, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows [N] by augmentation, so that a vote that ends early has asked every test input equally often."""
    import numpy as np

    from trm_cli.data.puzzles.dataset import PuzzleDataset

    assert isinstance(data, PuzzleDataset)
    return places[np.argsort(data.eval_groups(places)[1], kind="stable")]


def _count(evaluation: Evaluation) -> Vote:
    """Count the batches that are there."""
    from trm_cli.data.arc.identifiers import read_identifiers
    from trm_cli.evaluation.scores.arc_votes import Ballot
    from trm_cli.evaluation.scores.calibration import sigmoid

    data = evaluation.scorer.data
    ballot, rows = Ballot(read_identifiers(data.paths[0])), 0
    for index in range(evaluation.batches):
        batch = evaluation.partial.read(index)
        if batch is None:
            return Vote(ballot, rows, complete=False)
        inputs = data.eval_at(batch["place"])["inputs"]
        ballot.add(inputs, batch["answers"][:, 0], batch["identifier"], sigmoid(batch["q_halt"][:, 0]))
        rows += len(batch["place"])
    return Vote(ballot, rows, complete=True)
