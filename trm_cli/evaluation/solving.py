"""One puzzle through a model, with the answer after every supervision step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Thought:
    """The answer after one supervision step and the model's own probability that it is right."""

    step: int
    answer: tuple[int, ...]
    confidence: float


def solve(
    model: nn.Module,
    tokens: Sequence[int],
    device: torch.device,
    *,
    puzzle_identifier: int = 0,
    steps: int | None = None,
) -> list[Thought]:
    """Run `steps` (default: the model's halt_max_steps) supervision steps on one puzzle of L tokens."""
    inputs = torch.tensor([list(tokens)], dtype=torch.int32, device=device)
    batch = {
        "inputs": inputs,
        "labels": torch.full_like(inputs, -100),
        "puzzle_identifiers": torch.tensor([puzzle_identifier], dtype=torch.int32, device=device),
    }
    thoughts = []
    model.eval()
    with torch.inference_mode():
        carry = model.initial_carry(batch)  # type: ignore[operator]
        for step in range(1, (steps or int(model.halt_max_steps)) + 1):  # type: ignore[arg-type]
            carry, outputs = model.advance(carry, batch, None, None)  # type: ignore[operator]
            answer = model.answer(outputs)[0].tolist()  # type: ignore[operator]
            thoughts.append(Thought(step, tuple(answer), float(torch.sigmoid(outputs.q_halt[0].float()))))
    return thoughts
