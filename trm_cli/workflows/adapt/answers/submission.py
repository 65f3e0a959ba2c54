"""The submission of an adaptation: two attempts for every test input of every task, in the order of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trm_cli.data.arc.challenges import Challenges
    from trm_cli.evaluation.scores.arc_votes import Ballot, VotedInput


def voted_inputs(challenges: Challenges, ballot: Ballot | None) -> list[VotedInput]:
    """The votes for every test input, those that cannot be read included. ballot None: nobody has voted yet.

    A row whose first cell is no colour has voted for an empty grid, which is no attempt.
    """
    from trm_cli.evaluation.scores.arc_votes import VotedInput, key_of

    found = []
    for task in challenges.tasks:
        for given, wanted in zip(task.inputs, task.outputs, strict=True):
            ranked = [] if ballot is None or given is None else ballot.ranked(task.name, key_of(given))
            votes = sum(one.votes for one in ranked)
            ranked = [one for one in ranked if one.grid.size]
            answer = None if wanted is None else key_of(wanted)
            found.append(VotedInput(task.name, tuple(one.key for one in ranked), votes, answer))
    return found


def scores(voted: list[VotedInput]) -> dict[str, Any] | None:
    """pass@1 and pass@2 over the tasks with a known output; None where none is known."""
    by_task: dict[str, list[VotedInput]] = {}
    for one in voted:
        if one.answer is not None:
            by_task.setdefault(one.task, []).append(one)
    if not by_task:
        return None

    def share(k: int) -> float:
        return sum(sum(one.found(k) for one in inputs) / len(inputs) for inputs in by_task.values()) / len(by_task)

    solved = [task for task, inputs in by_task.items() if all(one.found(2) for one in inputs)]
    return {"tasks": len(by_task), "pass_1": share(1), "pass_2": share(2), "solved": solved}
