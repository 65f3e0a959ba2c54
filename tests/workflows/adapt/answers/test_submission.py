"""A submission has two attempts that are grids, whatever was voted for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.support.arc_tasks import pairs
from trm_cli.data.arc.challenges import read_challenges
from trm_cli.data.arc.encoding import encode_grids
from trm_cli.data.arc.identifiers import ArcIdentifiers
from trm_cli.evaluation.scores.arc_scores import NO_ANSWER, submission
from trm_cli.evaluation.scores.arc_votes import Ballot
from trm_cli.workflows.adapt.answers.submission import scores, voted_inputs


def test_an_empty_grid_is_no_attempt(tmp_path: Path) -> None:
    asked = pairs(np.fliplr, 2, seed=1)
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"train": pairs(np.fliplr, 2), "test": asked}))
    challenges = read_challenges(path)
    ballot = Ballot(ArcIdentifiers(("x",), np.array([-1, 0], np.int32), np.zeros(2, np.uint32)))
    givens, answers = (
        encode_grids([(2, 3, np.array(pair[side], np.uint8).tobytes()) for pair in asked])
        for side in ("input", "output")
    )
    nothing = np.zeros_like(answers)
    for said in (nothing, nothing, np.concatenate([answers[:1], nothing[1:]])):
        ballot.add(givens, said, np.ones(2, np.int64), np.full(2, 0.5))
    voted = voted_inputs(challenges, ballot)
    assert [one.votes for one in voted] == [3, 3]
    right = {"attempt_1": asked[0]["output"], "attempt_2": asked[0]["output"]}
    assert submission(voted) == {"x": [right, {"attempt_1": NO_ANSWER, "attempt_2": NO_ANSWER}]}
    assert scores(voted) == {"tasks": 1, "pass_1": 0.5, "pass_2": 0.5, "solved": []}
    assert scores(voted_inputs(challenges, None)) == {"tasks": 1, "pass_1": 0.0, "pass_2": 0.0, "solved": []}
