"""ARC voting on tasks whose answers are known functions: every augmentation is undone, and the plain answer wins.

The augmentations are made here with numpy's own turns and flips, not with the code under test.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trm_cli.data.arc.identifiers import read_identifiers
from trm_cli.data.arc.test_inputs import ArcTest, read_tests
from trm_cli.errors import DatasetError
from trm_cli.evaluation.scores.arc_scores import NO_ANSWER, arc_scores, submission
from trm_cli.evaluation.scores.arc_votes import Ballot, count_votes
from trm_cli.evaluation.scores.calibration import sigmoid
from trm_cli.evaluation.scores.intervals import Share

Grid = np.ndarray

#: The published symmetries, as numpy has them.
SYMMETRIES: list[Callable[[Grid], Grid]] = [
    lambda g: g,
    lambda g: np.rot90(g),
    lambda g: np.rot90(g, 2),
    lambda g: np.rot90(g, 3),
    np.fliplr,
    np.flipud,
    np.transpose,
    lambda g: np.fliplr(np.rot90(g)),
]
TASKS: dict[str, Callable[[Grid], Grid]] = {
    "recolour": lambda g: (g + 3) % 10,
    "mirror": lambda g: np.concatenate([g, np.fliplr(g)], axis=1),
    "crop": lambda g: g[1:4, :2],
}


def encoded(grid: Grid, top: int, left: int) -> Grid:
    """The published encoding: colours + 2, an end mark below and to the right, padding elsewhere."""
    tokens = np.zeros((30, 30), np.uint8)
    height, width = grid.shape
    tokens[top : top + height, left : left + width] = grid + 2
    if top + height < 30:
        tokens[top + height, left : left + width] = 1
    if left + width < 30:
        tokens[top : top + height, left + width] = 1
    return tokens.reshape(-1)


class Augmented:
    """Rows of several tasks under all symmetries, random permutations of colours, and shifts."""

    def __init__(self, root: Path, *, each: int = 40, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.tests = [
            ArcTest(name, tuple((given, solve(given)) for given in self._givens(random)))
            for name, solve in TASKS.items()
        ]
        names, self.inputs, self.answers, self.identifiers = ["<blank>"], [], [], []
        for test in self.tests:
            for number in range(each):
                symmetry = number % 8
                permutation = np.concatenate([[0], 1 + random.permutation(9)]) if number else np.arange(10)
                digits = "".join(map(str, permutation))
                names.append(f"{test.task}|||t{symmetry}|||{digits}" if number else test.task)
                for given, wanted in test.pairs:
                    pair = [SYMMETRIES[symmetry](permutation[grid]) for grid in (given, wanted)]
                    room = [30 - max(grid.shape[axis] for grid in pair) for axis in (0, 1)]
                    top, left = (int(random.integers(0, most + 1)) for most in room) if number % 3 == 2 else (0, 0)
                    self.inputs.append(encoded(pair[0], top, left))
                    self.answers.append(encoded(pair[1], top, left))
                    self.identifiers.append(len(names) - 1)
        (root / "identifiers.json").write_text(json.dumps(names))
        self.known = read_identifiers(root)

    @staticmethod
    def _givens(random: np.random.Generator) -> list[Grid]:
        return [random.integers(0, 10, (int(random.integers(4, 9)), int(random.integers(3, 12)))) for _ in range(2)]

    def vote(self, answers: list[Grid], q_halt: np.ndarray | None = None) -> Ballot:
        ballot = Ballot(self.known)
        q_halt = np.zeros(len(answers), np.float32) if q_halt is None else q_halt
        ballot.add(np.array(self.inputs), np.array(answers), np.array(self.identifiers), sigmoid(q_halt))
        return ballot

    def rows(self) -> dict[str, Share]:
        return {test.task: Share(0, 1) for test in self.tests}


@pytest.fixture
def augmented(tmp_path: Path) -> Augmented:
    return Augmented(tmp_path)


def test_every_inverse_leads_to_the_plain_answer(augmented: Augmented) -> None:
    results = count_votes(augmented.vote(augmented.answers), augmented.tests)
    # One candidate alone: had a single augmentation been undone wrongly, there would be a second one.
    assert [len(one.ranked) for one in results] == [1] * 6
    assert all(one.found(1) for one in results)
    assert [one.votes for one in results] == [40] * 6
    scores = arc_scores(results, augmented.rows())
    assert [(one["k"], one["value"]) for one in scores["pass"]] == [(k, 1.0) for k in (1, 2, 5, 10, 100, 1000)]
    handed_in = submission(results)
    assert list(handed_in) == list(TASKS)
    for test in augmented.tests:
        expected = [{"attempt_1": w.tolist(), "attempt_2": w.tolist()} for _, w in test.pairs]
        assert handed_in[test.task] == expected


@pytest.mark.parametrize("wrong", [0.3, 0.7])
def test_noise_that_does_not_repeat_itself_is_outvoted(augmented: Augmented, wrong: float) -> None:
    random = np.random.default_rng(1)
    answers = [answer.copy() for answer in augmented.answers]
    for answer in answers:
        if random.random() < wrong:
            cells = np.flatnonzero(answer >= 2)
            answer[cells] = random.integers(2, 12, len(cells))
    results = count_votes(augmented.vote(answers), augmented.tests)
    assert all(one.found(1) for one in results)
    assert min(len(one.ranked) for one in results) > 5


def test_candidates_are_ranked_by_votes_and_then_by_mean_probability(augmented: Augmented) -> None:
    right, wrong, worse = augmented.answers[0], encoded(np.array([[1, 2]]), 0, 0), encoded(np.array([[3]]), 0, 0)
    given, plain = augmented.inputs[0], augmented.identifiers[0]

    def ranked(votes: list[tuple[Grid, float]]) -> list[bytes]:
        ballot = Ballot(augmented.known)
        answers, q_halt = [answer for answer, _ in votes], np.array([q for _, q in votes], np.float32)
        ballot.add(np.array([given] * len(votes)), np.array(answers), np.full(len(votes), plain), sigmoid(q_halt))
        return list(count_votes(ballot, augmented.tests)[0].ranked)

    more = ranked([(wrong, 9.0), (right, -9.0), (right, -9.0)])
    sure = ranked([(wrong, 1.0), (right, 2.0), (right, -3.0), (wrong, 1.0)])
    assert more[0] == ranked([(right, 0.0)])[0]  # votes before probability
    assert sure[0] == ranked([(wrong, 0.0)])[0]  # of equal votes the surer one
    assert ranked([(worse, 0.0), (wrong, 0.0)])[0] == ranked([(worse, 0.0)])[0]


def test_an_empty_grid_is_handed_in_as_the_original_does(augmented: Augmented) -> None:
    results = count_votes(augmented.vote([np.zeros_like(answer) for answer in augmented.answers]), augmented.tests)
    assert not any(one.found(1000) for one in results)
    assert all(one == {"attempt_1": [], "attempt_2": []} for task in submission(results).values() for one in task)


def test_a_task_without_a_vote_is_handed_in_and_not_scored_where_it_was_not_evaluated(augmented: Augmented) -> None:
    blank = ArcTest("silent", ((np.array([[1]]), None), (np.array([[2]]), np.array([[3]]))))
    tests = [augmented.tests[0], blank, *augmented.tests[1:]]
    results = count_votes(augmented.vote(augmented.answers), tests)
    handed_in = submission(results)
    assert list(handed_in) == ["recolour", "silent", "mirror", "crop"]
    assert handed_in["silent"] == [{"attempt_1": NO_ANSWER, "attempt_2": NO_ANSWER}] * 2
    assert arc_scores(results, augmented.rows())["tasks"] == 3
    both = arc_scores(results, {**augmented.rows(), "silent": Share(0, 1)})
    assert (both["tasks"], both["test_inputs"]) == (4, 7)  # the test input whose answer is unknown is not scored
    assert both["pass"][0]["hits"] == 3


def test_half_of_a_task_counts_half(augmented: Augmented) -> None:
    answers = list(augmented.answers)
    for row in range(0, len(answers), 2):  # every first test input
        answers[row] = encoded(np.array([[7]]), 0, 0)
    scores = arc_scores(count_votes(augmented.vote(answers), augmented.tests), augmented.rows())
    assert [one["hits"] for one in scores["pass"]] == [1.5] * 6
    assert scores["by_task"][0]["ranks"] == [None, 1]


def test_ballots_share_nothing(augmented: Augmented) -> None:
    augmented.vote(augmented.answers)
    empty = count_votes(Ballot(augmented.known), augmented.tests)
    assert [one.votes for one in empty] == [0] * 6


def test_a_damaged_file_of_tests_is_named(tmp_path: Path) -> None:
    for text in ("{", '{"t": {"test": [{"input": [[11]]}]}}', '{"t": {}}'):
        (tmp_path / "test_puzzles.json").write_text(text)
        with pytest.raises(DatasetError, match=r"test_puzzles\.json.*(is missing|damaged)"):
            read_tests(tmp_path)
