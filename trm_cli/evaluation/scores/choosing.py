"""Choose one answer out of several attempts at the same puzzle by rules that do not see the solution.

Ties go to the attempt with the higher q_halt, then to the lower number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Answers = NDArray[np.integer]
Numbers = NDArray[np.floating]


@dataclass(frozen=True)
class Attempts:
    """K attempts at B puzzles of L tokens.

    answers int [K, B, L]; q_halt [K, B], the logit of being right; halted_at [K, B], the step at which the attempt
    wanted to stop (0: never); residual [K, B], how much the last step still changed the states.
    """

    answers: Answers
    q_halt: Numbers
    halted_at: NDArray[np.integer]
    residual: Numbers

    def of(self, attempt: NDArray[np.integer]) -> Answers:
        """The answer of one attempt for each puzzle: [B] -> [B, L]."""
        return np.asarray(np.take_along_axis(self.answers, attempt[None, :, None], axis=0)[0])

    def best(self, score: NDArray[np.number]) -> Answers:
        """The answer of the attempt with the highest score [K, B]."""
        return self.of(_best(score, self.q_halt))


def best_q(attempts: Attempts) -> Answers:
    """Choose the attempt with the highest q_halt: [B, L]."""
    return attempts.of(attempts.q_halt.argmax(0))


def first_to_halt(attempts: Attempts) -> Answers:
    """Choose the attempt that halts first; one that never halts comes last: [B, L]."""
    never = np.iinfo(np.int64).max
    return attempts.best(-np.where(attempts.halted_at == 0, never, attempts.halted_at))


def smallest_residual(attempts: Attempts) -> Answers:
    """Choose the attempt whose states have come to rest the most: [B, L]."""
    return attempts.best(-attempts.residual)


def majority_tokens(attempts: Attempts) -> Answers:
    """Choose at each place the token of most attempts: [B, L]. The result may be an answer of no attempt."""
    answers = attempts.answers
    votes = np.stack([(answers == one).sum(0) for one in answers])  # [K, B, L]
    chosen = _best(votes, np.broadcast_to(attempts.q_halt[..., None], votes.shape))
    return np.asarray(np.take_along_axis(answers, chosen[None], axis=0)[0])


def majority_answers(attempts: Attempts) -> Answers:
    """Choose the whole answer that most attempts give: [B, L]."""
    answers = attempts.answers
    return attempts.best(np.stack([(answers == one).all(-1).sum(0) for one in answers]))


def agreement(attempts: Attempts) -> Answers:
    """Choose the attempt that agrees with the others in the most tokens: [B, L]."""
    answers = attempts.answers
    return attempts.best(np.stack([(answers == one).sum((0, 2)) for one in answers]))


def checked(attempts: Attempts, valid: NDArray[np.bool_]) -> Answers:
    """Choose the first attempt that keeps the rules of the puzzle (valid bool [K, B]), else by q_halt: [B, L]."""
    return attempts.of(np.where(valid.any(0), valid.argmax(0), attempts.q_halt.argmax(0)))


def unanimous(answers: Answers) -> NDArray[np.bool_]:
    """Where all attempts give the same whole answer: bool [B]."""
    return np.asarray((answers == answers[:1]).all((0, 2)))


RULES: dict[str, Callable[[Attempts], Answers]] = {
    "best_q": best_q,
    "first_to_halt": first_to_halt,
    "smallest_residual": smallest_residual,
    "majority_tokens": majority_tokens,
    "majority_answers": majority_answers,
    "agreement": agreement,
}


def _best(score: NDArray[np.number], q_halt: Numbers) -> NDArray[np.int64]:
    """Index of the attempt with the highest (score, q_halt), the lowest of equals: [K, ...] -> [...]."""
    leading = np.where(score == score.max(0), q_halt, -np.inf)
    return np.asarray(leading.argmax(0), dtype=np.int64)
