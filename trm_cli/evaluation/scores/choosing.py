"""Choose one answer out of several attempts at the same puzzle by four rules, none of which sees the solution.

All arrays: answers int [K, B, L], q_halt [K, B], halted_at [K, B] (0: never wanted to stop). Ties go to the attempt
with the higher q_halt, then to the lower number.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Answers = NDArray[np.integer]
Numbers = NDArray[np.floating]


def best_q(answers: Answers, q_halt: Numbers, _halted_at: NDArray[np.integer]) -> Answers:
    """Choose the attempt with the highest q_halt: [B, L]."""
    return _of(answers, q_halt.argmax(0))


def first_to_halt(answers: Answers, q_halt: Numbers, halted_at: NDArray[np.integer]) -> Answers:
    """Choose the attempt that halts first; one that never halts comes last: [B, L]."""
    never = np.iinfo(np.int64).max
    return _of(answers, _best(-np.where(halted_at == 0, never, halted_at), q_halt))


def majority_tokens(answers: Answers, q_halt: Numbers, _halted_at: NDArray[np.integer]) -> Answers:
    """Choose at each place the token of most attempts: [B, L]. The result may be an answer of no attempt."""
    votes = np.stack([(answers == one).sum(0) for one in answers])  # [K, B, L]
    chosen = _best(votes, np.broadcast_to(q_halt[..., None], votes.shape))
    return np.asarray(np.take_along_axis(answers, chosen[None], axis=0)[0])


def majority_answers(answers: Answers, q_halt: Numbers, _halted_at: NDArray[np.integer]) -> Answers:
    """Choose the whole answer that most attempts give: [B, L]."""
    votes = np.stack([(answers == one).all(-1).sum(0) for one in answers])  # [K, B]
    return _of(answers, _best(votes, q_halt))


def agreement(answers: Answers, q_halt: Numbers, _halted_at: NDArray[np.integer]) -> Answers:
    """Choose the attempt that agrees with the others in the most tokens: [B, L]."""
    shared = np.stack([(answers == one).sum((0, 2)) for one in answers])  # [K, B]
    return _of(answers, _best(shared, q_halt))


def unanimous(answers: Answers) -> NDArray[np.bool_]:
    """Where all attempts give the same whole answer: bool [B]."""
    return np.asarray((answers == answers[:1]).all((0, 2)))


RULES: dict[str, Callable[[Answers, Numbers, NDArray[np.integer]], Answers]] = {
    "best_q": best_q,
    "first_to_halt": first_to_halt,
    "majority_tokens": majority_tokens,
    "majority_answers": majority_answers,
    "agreement": agreement,
}


def _best(score: NDArray[np.integer], q_halt: Numbers) -> NDArray[np.int64]:
    """Index of the attempt with the highest (score, q_halt), the lowest of equals: [K, ...] -> [...]."""
    leading = np.where(score == score.max(0), q_halt, -np.inf)
    return np.asarray(leading.argmax(0), dtype=np.int64)


def _of(answers: Answers, attempt: NDArray[np.integer]) -> Answers:
    return np.asarray(np.take_along_axis(answers, attempt[None, :, None], axis=0)[0])
