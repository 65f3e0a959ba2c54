"""How often a model is right: token accuracy, exact accuracy (the whole puzzle), and how sure it is.

Published protocol: every row runs `halt_max_steps` supervision steps and the last answer is scored
(trm_algorithm: evaluation never halts early).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

IGNORED = -100


class EvaluationInterrupted(Exception):
    """A stop was asked for between two batches; nothing was recorded."""


@dataclass(frozen=True)
class Accuracy:
    """The result of one evaluation; fractions in [0, 1]."""

    count: int
    token_accuracy: float
    exact_accuracy: float
    #: How often the halting head is right about its own answer.
    q_halt_accuracy: float
    #: Supervision steps that every row ran.
    steps: int

    def to_json(self) -> dict[str, Any]:
        """The fields, by name."""
        return asdict(self)


def evaluate(
    model: nn.Module,
    batches: Iterable[dict[str, np.ndarray]],
    device: torch.device,
    *,
    steps: int | None = None,
    between_batches: Callable[[int], bool] | None = None,
    total: Callable[[Sequence[float]], Sequence[float]] = tuple,
) -> Accuracy:
    """Score a model on batches that carry its labels [B, L] (-100 ignored) and `valid` [B] (False for padding rows).

    between_batches is called with the number of rows done and ends the evaluation by returning True
    (raises EvaluationInterrupted). A row without any label that counts is not scored. total: adds up the sums of
    several processes that have a part of the rows each.
    """
    steps = steps or int(model.halt_max_steps)  # type: ignore[arg-type]
    count = exact = sure = 0
    token_fraction = 0.0
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for arrays in batches:
                if between_batches is not None and between_batches(count):
                    raise EvaluationInterrupted
                batch = {name: torch.as_tensor(array).to(device) for name, array in arrays.items()}
                valid = batch.pop("valid")
                labels = batch[str(model.label_field)]
                carry = model.initial_carry(batch)  # type: ignore[operator]
                for _ in range(steps):
                    carry, outputs = model.advance(carry, batch, None, None)  # type: ignore[operator]
                answer = model.answer(outputs)  # type: ignore[operator]
                counted = labels != IGNORED
                tokens = counted.sum(-1)
                valid = valid & (tokens > 0)
                right = ((answer == labels) & counted).sum(-1)
                whole = right == tokens
                count += int(valid.sum())
                exact += int((whole & valid).sum())
                token_fraction += float((right / tokens.clamp(min=1))[valid].double().sum())
                sure += int((((outputs.q_halt > 0) == whole) & valid).sum())
    finally:
        model.train(was_training)
    scored, right_tokens, right_rows, right_halts = total((count, token_fraction, exact, sure))
    rows = max(1.0, scored)
    return Accuracy(int(scored), right_tokens / rows, right_rows / rows, right_halts / rows, steps)
