"""Describe the attempts at the rows of a batch as columns, one entry a row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.files.metadata import IGNORED_LABEL
from trm_cli.evaluation.partial_results import Columns
from trm_cli.evaluation.scores import choosing
from trm_cli.evaluation.thinking import Attempt


def columns_of(
    labels: NDArray[Any], attempts: list[Attempt], *, keep: bool, valid: NDArray[np.bool_] | None = None
) -> Columns:
    """Compute arrays [B, ...] of B rows after K attempts; padding rows of the attempts come last and are left out.

    valid [B, K]: whether an answer keeps the rules of its puzzle, where that was checked.

    asked [B]: tokens that count; right bool [B, K]; tokens_right [B, K]; q_halt, steps, halted_at [B, K]; right_after
    bool [B, K, S]; residuals [B, K, S]; nats [B, K]; answers [B, K, L] where they are kept. With several attempts also
    chosen/<rule> bool [B], chosen_tokens/<rule> [B], and unanimous bool [B].
    """
    rows = slice(len(labels))
    counted = labels != IGNORED_LABEL

    def hits(answers: NDArray[np.integer]) -> NDArray[np.int32]:
        return np.asarray(((answers == labels) & counted).sum(-1), dtype=np.int32)

    asked = counted.sum(-1).astype(np.int32)
    tokens_right = np.stack([hits(one.answers[rows]) for one in attempts], axis=1)
    columns: Columns = {
        "asked": asked,
        "tokens_right": tokens_right,
        "right": (tokens_right == asked[:, None]) & (asked > 0)[:, None],
        **{
            name: np.stack([getattr(one, name)[rows] for one in attempts], axis=1)
            for name in ("q_halt", "steps", "halted_at", "right_after", "residuals", "nats")
        },
    }
    answers = np.stack([one.answers[rows] for one in attempts])  # [K, B, L]
    if keep:
        columns["answers"] = narrow(answers.transpose(1, 0, 2))
    if valid is not None:
        columns["valid"] = valid
    if len(attempts) > 1:
        residual = np.take_along_axis(columns["residuals"], columns["steps"][..., None] - 1, axis=2)[..., 0]
        made = choosing.Attempts(answers, columns["q_halt"].T, columns["halted_at"].T, residual.T)
        columns["unanimous"] = choosing.unanimous(answers)
        chosen = {rule: choose(made) for rule, choose in choosing.RULES.items()}
        if valid is not None:
            chosen["checked"] = choosing.checked(made, valid.T)
        for rule, answer in chosen.items():
            found = hits(answer)
            columns[f"chosen_tokens/{rule}"] = found
            columns[f"chosen/{rule}"] = (found == asked) & (asked > 0)
    return columns


def narrow(tokens: NDArray[np.integer]) -> NDArray[np.integer]:
    """Convert tokens to the smallest unsigned type that holds them."""
    return tokens.astype(np.min_scalar_type(int(tokens.max(initial=0))))
