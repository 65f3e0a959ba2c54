"""Solve puzzles, with the answer after every supervision step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from trm_cli.models.thinking import think

if TYPE_CHECKING:
    from trm_cli.models.network import Network


class AnswerStep(NamedTuple):
    """The answer after one supervision step, the model's own probability that it is right, and how far the step moved
    the states, as a share of their length.
    """

    step: int
    answer: tuple[int, ...]
    confidence: float
    residual: float


class BatchStep(NamedTuple):
    """The same of a batch: answers [B, L], confidence [B], residual [B]."""

    answers: NDArray[np.int32]
    confidence: NDArray[np.float32]
    residual: NDArray[np.float32]


def answers_by_step(
    model: Network,
    tokens: NDArray[np.integer],
    identifiers: NDArray[np.integer],
    device: torch.device,
    *,
    steps: int | None = None,
) -> Iterator[BatchStep]:
    """Yield after each step the answers to tokens [B, L].

    Steps beyond halt_max_steps continue from the same states.
    """
    inputs = torch.as_tensor(tokens.astype(np.int32)).to(device)
    batch = {
        "inputs": inputs,
        "labels": torch.full_like(inputs, -100),
        "puzzle_identifiers": torch.as_tensor(identifiers.astype(np.int32)).to(device),
    }
    model.eval()
    for step in think(model, batch, steps=steps):
        with torch.inference_mode():
            answers = model.answer(step.outputs).int().cpu().numpy()
            confidence = torch.sigmoid(step.outputs.q_halt.float()).cpu().numpy()
        yield BatchStep(answers, confidence, step.residual.cpu().numpy())
