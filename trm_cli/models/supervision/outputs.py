"""Hold the outputs of one supervision step: answers and halting values, and with labels its loss and metrics."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from trm_cli.models.supervision.carry import Carry


@dataclass(frozen=True)
class Outputs:
    """The outputs of one step.

    logits [B, S, V] in the activation type; q_halt, q_continue float32 [B]; target_q_continue float32 [B], or None
    where the continue value is not trained or the step is an evaluation.
    """

    logits: Tensor
    q_halt: Tensor
    q_continue: Tensor
    target_q_continue: Tensor | None = None


@dataclass(frozen=True)
class StepResult:
    """One supervision step with its losses.

    loss: 0-dim, a sum over rows. terms: its weighted summands, detached. metrics, by group of rows: sums over them, and
    how many they are (`count`), which is what the sums of that group are divided by. Every family has the group
    `halted`, the rows that halted in this step and have a valid label.
    """

    carry: Carry
    loss: Tensor
    terms: dict[str, Tensor]
    metrics: dict[str, dict[str, Tensor]]
    outputs: Outputs
