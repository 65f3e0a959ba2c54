"""Decide after which supervision step a row halts (adaptive computation time), with exploration in training."""

from __future__ import annotations

import torch
from torch import Tensor


def exploration_floor(draws: Tensor, probability: float, halt_max_steps: int) -> Tensor:
    """Draw the step before which a row may not halt: 0, or with `probability` uniform on 2 .. halt_max_steps; int32
    [B].

    draws: uniform numbers in [0, 1), [B, 2]; the first decides whether, the second how long. They are drawn anew each
    step, so exploration delays a halt and never goes beyond halt_max_steps.
    """
    length = 2 + (draws[:, 1] * (halt_max_steps - 1)).floor()
    return (length.clamp_max(halt_max_steps) * (draws[:, 0] < probability)).to(torch.int32)


def decide_halt(
    steps: Tensor, wants_halt: Tensor, draws: Tensor | None, *, halt_max_steps: int, exploration_probability: float
) -> Tensor:
    """Return which rows halt after this step, bool [B]. steps: int32 [B], this one included; wants_halt: bool [B].

    draws None is an evaluation: every row goes to halt_max_steps.
    """
    last = steps >= halt_max_steps
    if draws is None or halt_max_steps == 1:
        return last
    if draws.shape != (steps.shape[0], 2):
        raise ValueError(f"Exploration needs draws of shape ({steps.shape[0]}, 2), not {tuple(draws.shape)}.")
    floor = exploration_floor(draws, exploration_probability, halt_max_steps)
    return (last | wants_halt) & (steps >= floor)
