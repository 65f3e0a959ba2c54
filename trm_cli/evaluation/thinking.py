"""Run a batch through a model: the answer of every row, the step at which it halts, the steps with a right answer.

Early halting leaves the answers alone and saves the work: rows that stopped leave the batch, which shrinks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trm_cli.data.files.metadata import IGNORED_LABEL
from trm_cli.models.supervision.carry import Carry
from trm_cli.models.thinking import think

if TYPE_CHECKING:
    from trm_cli.models.network import Network


@dataclass(frozen=True)
class Attempt:
    """The result of one pass over B rows.

    answers int32 [B, L]; q_halt float32 [B], the logit of being right at the step of the answer; steps int32 [B] that
    the answer took; halted_at int32 [B], the first step at which the row wanted to stop, 0 where it never did;
    right_after bool [B, S], whether the answer was wholly right after each step (a row that left keeps its answer);
    nats float32 [B], the negative log-likelihood of a row's labels at its answer, 0 where nobody asked; residuals
    float32 [B, S], how far each step moved the states (a row that left keeps its last).
    """

    answers: NDArray[np.int32]
    q_halt: NDArray[np.float32]
    steps: NDArray[np.int32]
    halted_at: NDArray[np.int32]
    right_after: NDArray[np.bool_]
    nats: NDArray[np.float32]
    residuals: NDArray[np.float32]

    @classmethod
    def joined(cls, parts: Sequence[Attempt]) -> Attempt:
        """Attempts at the parts of a batch as one at the batch."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


def attempt(
    model: Network, batch: Mapping[str, Tensor], carry: Carry, *, steps: int, policy: str, likelihoods: bool = False
) -> Attempt:
    """Run up to `steps` supervision steps from `carry`, which may be more than the model was trained for.

    A row's numbers do not depend on the other rows of its batch, except that matrix products of another size may
    round the last bit another way.
    """
    labels = batch[model.label_field]
    rows, device = labels.shape[0], labels.device
    answers = torch.zeros_like(labels, dtype=torch.int32)
    q_halt = torch.zeros(rows, device=device)
    taken = torch.zeros(rows, dtype=torch.int32, device=device)
    halted_at = torch.zeros_like(taken)
    right_after = torch.zeros(rows, steps, dtype=torch.bool, device=device)
    nats = torch.zeros(rows, device=device)
    residuals = torch.zeros(rows, steps, device=device)
    halting = "bce" if policy == "full" else policy
    for step in think(model, batch, steps=steps, carry=carry, policy=policy):
        here, number, answer = step.rows, step.number, model.answer(step.outputs)
        wants = model.halts(step.outputs, halting)
        answers[here], taken[here] = answer.int(), number
        q_halt[here] = sureness(step.outputs.q_halt)
        right_after[here, number - 1 :] = wholly_right(answer, step.batch[model.label_field])[:, None]
        residuals[here, number - 1 :] = step.residual[:, None]
        halted_at[here] = torch.where((halted_at[here] == 0) & wants, number, halted_at[here])
        if likelihoods:
            nats[here] = model.label_nats(step.outputs, step.batch[model.label_field]).sum(-1)
    columns = (answers, q_halt, taken, halted_at, right_after, nats, residuals)
    return Attempt(*(column.cpu().numpy() for column in columns))


def sureness(q_halt: Tensor) -> Tensor:
    """Convert q_halt [B] to float32; NaN of a network that diverged counts as -inf."""
    return q_halt.float().nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)


def wholly_right(answers: Tensor, labels: Tensor) -> Tensor:
    """Compare rows [B, L]: True where every labelled token is right; a row without labels is never right: bool [B]."""
    counted = labels != IGNORED_LABEL
    return ((answers == labels) | ~counted).all(-1) & counted.any(-1)
