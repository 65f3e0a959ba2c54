"""Compare a training step on a device with float32 on the CPU: answers, loss and gradients."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.gpu.cases import Case, Way, model_of, random_rows, task_of
from trm_cli.schedule.clock import SETTLED

#: Beyond these a kernel is wrong, not rounding: relative differences of the loss and of all gradients together.
LIMITS = {"float32": (1e-3, 1e-2), "float16": (2e-2, 0.1), "bfloat16": (5e-2, 0.3)}
#: Small gradients vanish in float16 unless the loss is scaled up.
_SCALE = 1024.0
_ROWS = 2


class StepValues(NamedTuple):
    """logits [B, S, V], the loss (0-dim) and the gradients of the trunk, one after the other; float32 on the CPU."""

    logits: Tensor
    loss: Tensor
    gradient: Tensor


def run_step(case: Case, way: Way) -> StepValues:
    """Run one step on the same rows, with the same draws."""
    task = task_of(case, _ROWS, way)
    model = model_of(task).train()
    device = task.machine.torch_device
    batch = {name: torch.from_numpy(array).to(device) for name, array in random_rows(case, _ROWS).items()}
    draws = torch.full((_ROWS, int(model.draws_per_row)), 0.5, device=device)
    result = model(model.initial_carry(batch), batch, SETTLED, draws)
    (result.loss * _SCALE).backward()
    parts = [parameter.grad.reshape(-1) for parameter in model.trunk_parameters() if parameter.grad is not None]
    gradient = torch.cat(parts).float().cpu() / _SCALE
    return StepValues(result.outputs.logits.detach().float().cpu(), result.loss.detach().float().cpu(), gradient)


@cache
def expected(case: Case, words: tuple[str, ...]) -> StepValues:
    """Return the values of the CPU in float32."""
    return run_step(case, Way("cpu", "float32", "eager", words))


def compared(found: StepValues, wanted: StepValues, precision: str) -> dict[str, Any]:
    """Return the differences, and whether they are within rounding."""
    loss = float((found.loss - wanted.loss).abs() / wanted.loss.abs())
    gradient = float((found.gradient - wanted.gradient).norm() / wanted.gradient.norm())
    most_loss, most_gradient = LIMITS[precision]
    return {
        "largest_difference_of_a_logit": float((found.logits - wanted.logits).abs().max()),
        "relative_difference_of_the_loss": loss,
        "relative_difference_of_the_gradient": gradient,
        "agrees": loss <= most_loss and gradient <= most_gradient,
    }


def parity(case: Case, way: Way) -> dict[str, Any]:
    """Compare one way of computing a case with the CPU."""
    return compared(run_step(case, way), expected(case, way.words), way.precision)
