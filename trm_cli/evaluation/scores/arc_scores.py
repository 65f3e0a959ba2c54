"""Compute pass@k of an ARC vote, and the submission file of Kaggle's ARC Prize."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trm_cli.evaluation.scores.arc_votes import VotedInput, grid_of
from trm_cli.evaluation.scores.intervals import Share

PASS_AT = (1, 2, 5, 10, 100, 1000)
ATTEMPTS = 2
#: What is handed in where no row gave an answer: the grid of Kaggle's own sample.
NO_ANSWER = [[0, 0], [0, 0]]


def arc_scores(results: Sequence[VotedInput], rows: Mapping[str, Share]) -> dict[str, Any]:
    """Compute pass@k over the evaluated tasks: a task counts by the share of its test inputs that are found.

    rows: by task, how many of its augmented rows were wholly right. Test inputs whose answer is unknown are not scored.
    by_task: the share found within 2 attempts, the rank of the answer for each test input (from 1; None: nobody named
    it), and the rows.
    """
    by_task: dict[str, list[VotedInput]] = {}
    for result in results:
        if result.task in rows and result.answer is not None:
            by_task.setdefault(result.task, []).append(result)
    passed = []
    for k in PASS_AT:
        hits = sum(sum(one.found(k) for one in inputs) / len(inputs) for inputs in by_task.values())
        passed.append({"k": k, **Share(min(hits, len(by_task)), len(by_task)).to_json()})
    votes = [one.votes for inputs in by_task.values() for one in inputs]
    return {
        "tasks": len(by_task),
        "test_inputs": len(votes),
        "votes": sum(votes),
        "votes_per_input": {"least": min(votes, default=0), "most": max(votes, default=0)},
        "pass": passed,
        "by_task": [
            {
                "task": task,
                f"pass_{ATTEMPTS}": sum(one.found(ATTEMPTS) for one in inputs) / len(inputs),
                "ranks": [_rank(one) for one in inputs],
                "rows": rows[task].to_json(),
            }
            for task, inputs in by_task.items()
        ],
    }


def submission(results: Sequence[VotedInput]) -> dict[str, list[dict[str, list[list[int]]]]]:
    """Make a submission: two attempts for every test input of every task; a single candidate is submitted twice.

    A row whose first cell is no colour has voted for an empty grid, which pass@k counts and is handed in as well.
    """
    document: dict[str, list[dict[str, list[list[int]]]]] = {}
    for result in results:
        grids = [grid_of(key).tolist() for key in result.ranked[:ATTEMPTS]]
        grids += [grids[0] if grids else NO_ANSWER] * (ATTEMPTS - len(grids))
        attempts = {f"attempt_{number}": grid for number, grid in enumerate(grids, start=1)}
        document.setdefault(result.task, []).append(attempts)
    return document


def _rank(result: VotedInput) -> int | None:
    return result.ranked.index(result.answer) + 1 if result.answer in result.ranked else None
