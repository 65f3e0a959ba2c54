"""Evaluate a trained model: load, score, vote, write."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.data.files.json_file import read_json
from trm_cli.errors import DatasetError, TrmError
from trm_cli.training.run_files import EVALUATIONS
from trm_cli.workflows.observers import EvaluationObserver
from trm_cli.workflows.scores.evaluation_subject import EvaluationRequest, Subject, prepare

if TYPE_CHECKING:
    from trm_cli.evaluation.evaluator import Evaluation
    from trm_cli.evaluation.partial_results import Columns, PartialResult

RESULT = "result.json"
SUBMISSION = "submission.json"
PARTIAL = "partial"
#: The key of a stored result that holds the checksum of the others. Those of earlier versions have none.
_SEAL = "sha256"


def run_evaluation(
    request: EvaluationRequest, observer: EvaluationObserver | None = None
) -> tuple[dict[str, Any], list[Path]]:
    """Evaluate, or read the result of the same evaluation; returns the document and the files that were written.

    An interrupted evaluation continues. Raises TrmError.
    """
    from trm_cli.evaluation.partial_results import PartialResult, digest

    observer = observer or EvaluationObserver()
    subject = prepare(request, observer.note)
    facts = subject.facts()
    key = digest(facts)
    folder = (request.out or subject.run / EVALUATIONS) / f"step-{subject.trained.step}-{request.split}-{key[:8]}"
    if not request.again and request.predictions is None and (stored := _stored(folder / RESULT, key)) is not None:
        observer.note(f"this evaluation was made before ({folder / RESULT}); --again repeats it")
        return stored, []
    partial = PartialResult(folder / PARTIAL)
    with partial.held():
        started = time.monotonic()
        evaluation = _evaluation(subject, partial)
        with observer.scoring(_title(subject, evaluation), len(evaluation.places)) as advanced:
            evaluation.run(advanced)
        document, files = _reduce(subject, evaluation, folder)
        document = {
            "schema_version": 1,
            "key": key,
            "run": str(subject.run),
            "file": str(subject.trained.checkpoint),
            "paths": list(subject.data.paths),
            **facts,
            **document,
            "seconds": round(time.monotonic() - started, 3),
        }
        files.append(_write_json(folder / RESULT, {**document, _SEAL: _checksum(document)}))
        partial.discard()
    return document, files


def stored_evaluation(run: Path) -> dict[str, Any] | None:
    """Return the most complete stored evaluation of a run, or None: full test set, published protocol, the newest."""
    return next((document for document, _ in stored_evaluations(run)), None)


def stored_evaluations(run: Path) -> list[tuple[dict[str, Any], Path]]:
    """Return the stored evaluations of a run with their folders, the most complete one first."""
    found = [
        (_plainness(document), path.stat().st_mtime, document, path.parent)
        for path in (run / EVALUATIONS).glob(f"*/{RESULT}")
        if (document := _stored(path, None)) is not None
    ]
    return [entry[2:] for entry in sorted(found, key=lambda entry: entry[:2], reverse=True)]


def _plainness(document: dict[str, Any]) -> tuple[bool, ...]:
    protocol = document["protocol"]
    return (
        not document["dataset"].get("other", False),
        document["dataset"]["split"] == "test",
        protocol["limit"] is None and protocol["votes"] is None,
        not protocol["early_halt"],
        protocol["restarts"] == 1 and "views" not in protocol and "until_solved" not in protocol,
        protocol["steps"] == protocol["trained_steps"],
        document["checkpoint"]["weights"] == "ema",
    )


def _stored(path: Path, key: str | None) -> dict[str, Any] | None:
    """Return a result file, if it is as it was written and (where a key is given) of the same evaluation."""
    try:
        document = read_json(path)
    except DatasetError:
        return None
    if not isinstance(document, dict) or document.get("schema_version") != 1:
        return None
    seal = document.pop(_SEAL, None)
    whole = seal in (None, _checksum(document)) and _is_complete(document)
    return document if whole and key in (None, document.get("key")) else None


def _checksum(document: dict[str, Any]) -> str:
    """SHA-256 of a result as a file holds it (keys as text), however the file is laid out."""
    stored = json.loads(json.dumps(document))
    return hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()


def _is_complete(document: dict[str, Any]) -> bool:
    """Whether a result without a seal has what every reader asks for first."""
    try:
        _plainness(document)
    except (KeyError, TypeError):
        return False
    return True


def _evaluation(subject: Subject, partial: PartialResult) -> Evaluation:
    from trm_cli.data.puzzles.dataset import PuzzleDataset
    from trm_cli.data.puzzles.kinds import kind_of
    from trm_cli.data.puzzles.views import views_of
    from trm_cli.evaluation.evaluator import Evaluation
    from trm_cli.evaluation.rows import Scorer, select

    request, data = subject.request, subject.data
    scorer = Scorer(
        model=subject.trained.model,
        data=data,
        device=subject.device,
        protocol=subject.protocol,
        keep_answers=request.predictions is not None or _votes(subject),
        ratings=data.puzzle_values("ratings") if isinstance(data, PuzzleDataset) else None,
        family=kind_of(data.metadata).typed(data.metadata),
        views=views_of(data.metadata, subject.protocol.seed),
        micro_batch_size=None if request.batch_size else subject.trained.config.micro_batch_size,
    )
    places = select(data, request.limit, subject.votes)
    # Only the published protocol on a whole set is asked to agree with the run's own evaluations to the last bit.
    whole = request.limit is None and subject.votes is None and subject.protocol.halting == "full"
    return Evaluation(scorer, places, subject.batch_size, padded=whole, partial=partial)


def _title(subject: Subject, evaluation: Evaluation) -> str:
    """Return the title of the evaluation: the model, and on a second line dataset and protocol."""
    from trm_cli.evaluation.protocol import protocol_line

    trained, data = subject.trained, subject.data
    weights = "averaged weights (EMA)" if trained.weights == "ema" else "raw weights"
    return (
        f"{trained.config.model} at step {trained.step:,}, {weights}, {subject.precision} on {subject.device.type}\n"
        f"{len(evaluation.places):,} rows of {', '.join(data.paths)} ({data.split}), "
        f"{protocol_line(asdict(subject.protocol))}"
    )


def _reduce(subject: Subject, evaluation: Evaluation, folder: Path) -> tuple[dict[str, Any], list[Path]]:
    """Return the numbers of a complete evaluation, and the files written with it."""
    from trm_cli.evaluation.outcomes import write_outcomes
    from trm_cli.evaluation.predictions import write_predictions
    from trm_cli.evaluation.samples.sample_answers import chosen_places, shown
    from trm_cli.evaluation.scores.summary import joined, summarise

    keep = subject.request.predictions is not None
    batches = [
        {name: values for name, values in columns.items() if keep or name != "answers"}
        for columns in evaluation.results()
    ]
    columns = joined(batches)
    document = summarise(columns, subject.protocol.until_solved)
    try:
        write_outcomes(folder, columns)
    except OSError as error:
        raise TrmError(f"{folder} cannot be written to: {error.strerror}") from error
    files = []
    if _votes(subject):
        document["arc"], results = _vote(subject, evaluation, columns)
        files.append(_write_json(folder / SUBMISSION, results))
    places = chosen_places(columns["place"], columns["right_after"][:, 0])
    document["samples"] = shown(subject.trained.model, subject.data, places, subject.device)
    document["dataset_metadata"] = subject.data.metadata.to_json()
    if subject.request.predictions is not None:
        write_predictions(subject.request.predictions, columns)
        files.append(subject.request.predictions)
    return document, files


def _votes(subject: Subject) -> bool:
    """Whether rows vote: true for an ARC test set with `test_puzzles.json`."""
    from trm_cli.data.arc.test_inputs import has_tests
    from trm_cli.data.puzzles.kinds import kind_of

    data = subject.data
    return kind_of(data.metadata).votes and data.split == "test" and len(data.paths) == 1 and has_tests(data.paths[0])


def _vote(subject: Subject, evaluation: Evaluation, columns: Columns) -> tuple[dict[str, Any], dict[str, Any]]:
    from trm_cli.data.arc.identifiers import read_identifiers
    from trm_cli.data.arc.test_inputs import read_tests
    from trm_cli.evaluation.scores.arc_scores import arc_scores, submission
    from trm_cli.evaluation.scores.arc_votes import Ballot, count_votes
    from trm_cli.evaluation.scores.calibration import sigmoid
    from trm_cli.evaluation.scores.summary import shares_by_task

    root = subject.data.paths[0]
    ballot = Ballot(read_identifiers(root))
    for batch in evaluation.results():
        inputs = subject.data.eval_at(batch["place"])["inputs"]
        for restart in range(subject.protocol.restarts):
            confidence = sigmoid(batch["q_halt"][:, restart])
            ballot.add(inputs, batch["answers"][:, restart], batch["identifier"], confidence)
    results = count_votes(ballot, read_tests(root))
    return arc_scores(results, shares_by_task(columns, ballot.identifiers)), submission(results)


def _write_json(path: Path, document: dict[str, Any]) -> Path:
    from trm_cli.data.files.durable import write_atomically

    try:
        write_atomically(path, (json.dumps(document, allow_nan=False) + "\n").encode())
    except OSError as error:
        raise TrmError(f"{path} cannot be written: {error.strerror}") from error
    return path
