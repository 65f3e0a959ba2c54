"""The rules that choose among attempts, against loops that say the same in words."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trm_cli.evaluation.scores import choosing


@st.composite
def attempts(draw: st.DrawFn) -> choosing.Attempts:
    """Few tokens, few values of q_halt: ties are the rule."""
    count, rows, length = draw(st.integers(1, 5)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    answers = random.integers(0, 3, (count, rows, length)).astype(np.int32)
    return choosing.Attempts(
        answers,
        random.integers(-2, 2, (count, rows)).astype(np.float32),
        random.integers(0, 4, (count, rows)),
        random.integers(0, 3, (count, rows)).astype(np.float32),
    )


@given(attempts())
def test_each_rule_is_what_its_words_say(drawn: choosing.Attempts) -> None:
    answers, q_halt, halted_at = drawn.answers, drawn.q_halt, drawn.halted_at
    count, rows, length = answers.shape
    chosen = {name: rule(drawn) for name, rule in choosing.RULES.items()}
    valid = answers.sum(-1) % 2 == 0
    chosen["checked"] = choosing.checked(drawn, valid)
    for row in range(rows):
        whole = [tuple(answers[k, row]) for k in range(count)]
        q = q_halt[:, row].tolist()
        halts = [int(step) or 99 for step in halted_at[:, row]]
        votes = Counter(whole)
        shared = [sum(a == b for other in whole for a, b in zip(mine, other, strict=True)) for mine in whole]

        def first(score: list[int], q: list[float] = q) -> int:
            return min((-score[k], -q[k], k) for k in range(count))[2]

        assert tuple(chosen["best_q"][row]) == whole[first([0] * count)]
        assert tuple(chosen["first_to_halt"][row]) == whole[first([-step for step in halts])]
        assert tuple(chosen["smallest_residual"][row]) == whole[first((-drawn.residual[:, row]).tolist())]
        sound = [k for k in range(count) if valid[k, row]]
        assert tuple(chosen["checked"][row]) == whole[sound[0] if sound else first([0] * count)]
        assert tuple(chosen["majority_answers"][row]) == whole[first([votes[one] for one in whole])]
        assert tuple(chosen["agreement"][row]) == whole[first(shared)]
        for place in range(length):
            tokens = [one[place] for one in whole]
            assert chosen["majority_tokens"][row, place] == tokens[first([tokens.count(t) for t in tokens])]
        assert choosing.unanimous(answers)[row] == (len(votes) == 1)
