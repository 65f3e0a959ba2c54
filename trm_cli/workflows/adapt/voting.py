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
    from trm_cli.evaluation.scores.intervals import Share
    from trm_cli.workflows.adapt.request import AdaptObserver
    from trm_cli.workflows.evaluation_subject import Subject

_BATCH = {"cuda": 256}
_BATCH_ELSEWHERE = 32


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

    subject, scorer = _load(run, votes, device, observer)
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


def score_left_out(run: Path, *, device: str, observer: AdaptObserver) -> Share:
    """How many of the test inputs with a known output the newest weights of `run` answer, without augmentation."""
    import numpy as np
    import torch

    from trm_cli.evaluation.rows import select
    from trm_cli.evaluation.scores.accuracy import IGNORED
    from trm_cli.evaluation.scores.intervals import Share

    subject, scorer = _load(run, 1, device, observer)
    places, size = select(subject.data, None, 1), subject.batch_size
    known = np.array([bool((row != IGNORED).any()) for row in subject.data.eval_at(places)["labels"]])
    asked, hits = places[known], 0
    with torch.inference_mode():
        for first in range(0, len(asked), size):
            hits += int(scorer.score(asked[first : first + size], 0)["right"].sum())
    return Share(hits, len(asked))


def _load(run: Path, votes: int | None, device: str, observer: AdaptObserver) -> tuple[Subject, Scorer]:
    from trm_cli.evaluation.rows import Scorer
    from trm_cli.training.hardware.devices import choose_device
    from trm_cli.training.run_files import LATEST
    from trm_cli.workflows.evaluation_subject import EvaluationRequest, prepare

    chosen = choose_device(device).value
    size = _BATCH.get(chosen, _BATCH_ELSEWHERE)
    wanted = EvaluationRequest(run=str(run / LATEST), votes=votes, batch_size=size, device=chosen)
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
