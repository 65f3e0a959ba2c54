"""AdamATan2: Adam whose division is an arctangent, so that it needs no epsilon and its step is bounded.

Formula of the published training (not the variant with a factor 1.27 and both corrections inside):

    p <- p (1 - lr wd)
    m <- lerp(m, g, 1 - beta1);  v <- lerp(v, g^2, 1 - beta2)
    p <- p - lr / (1 - beta1^t) * atan2(m, sqrt(v) / sqrt(1 - beta2^t))
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from trm_cli.training.distributed.tensor_shards import local_tensors
from trm_cli.training.hardware.conditional_update import conditional_update
from trm_cli.training.optimizers.eager import EagerOptimizer


class AdamATan2(EagerOptimizer):
    """Decoupled weight decay on every parameter; one multi-tensor pass per group.

    Set `group["lr"]` before each step. State per parameter: `step` (int), `exp_avg`, `exp_avg_sq`, plain values that a
    checkpoint can hold. Moments have the type of the parameter, which is meant to be a float32 master weight.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.1,
    ) -> None:
        if lr < 0 or weight_decay < 0:
            raise ValueError(f"lr and weight_decay must not be negative, not {lr} and {weight_decay}.")
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"Both betas must lie in [0, 1), not {betas}.")
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})
        #: The parameters of the last step.
        self._stepped: list[nn.Parameter] = []

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]  # without a closure, which nothing here has
        """Update every parameter that has a gradient, with the present `lr` of its group."""
        self.step_where(None)

    @torch.no_grad()
    def step_where(self, condition: Tensor | None) -> None:
        """See `EagerOptimizer`."""
        self._stepped = []
        for group in self.param_groups:
            # Parameters that missed a gradient once have a lower step count: each count is a pass of its own.
            for step, parameters in self._by_step(group["params"]).items():
                self._stepped += parameters
                moments = [self.state[p][name] for name in ("exp_avg", "exp_avg_sq") for p in parameters]
                with conditional_update(condition, local_tensors((*parameters, *moments))):
                    self._update(parameters, group, step)

    def take_back(self) -> None:
        """See `EagerOptimizer`."""
        for parameter in self._stepped:
            self.state[parameter]["step"] -= 1
        self._stepped = []

    def _by_step(self, parameters: list[nn.Parameter]) -> dict[int, list[nn.Parameter]]:
        """Parameters with a gradient by the number of this update, with their state made where it is missing."""
        passes: dict[int, list[nn.Parameter]] = {}
        for parameter in parameters:
            if parameter.grad is None:
                continue
            if parameter.grad.is_sparse:
                raise ValueError("AdamATan2 takes dense gradients; a sparse table belongs to SignSGD.")
            state = self.state[parameter]
            if not state:
                state.update(step=0, exp_avg=torch.zeros_like(parameter), exp_avg_sq=torch.zeros_like(parameter))
            state["step"] += 1
            passes.setdefault(state["step"], []).append(parameter)
        return passes

    def _update(self, parameters: list[nn.Parameter], group: dict[str, Any], step: int) -> None:
        lr, (beta1, beta2) = float(group["lr"]), group["betas"]
        gradients = local_tensors(p.grad for p in parameters if p.grad is not None)
        means = local_tensors(self.state[p]["exp_avg"] for p in parameters)
        squares = local_tensors(self.state[p]["exp_avg_sq"] for p in parameters)
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - beta2)
        scales = torch._foreach_sqrt(squares)
        torch._foreach_div_(scales, math.sqrt(1 - beta2**step))
        for mean, scale in zip(means, scales, strict=True):
            torch.atan2(mean, scale, out=scale)
        weights = local_tensors(parameters)
        torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
        torch._foreach_add_(weights, scales, alpha=-lr / (1 - beta1**step))
