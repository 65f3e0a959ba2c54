"""Optimizers whose methods do not import torch's compiler, which would add two seconds to every start."""

from __future__ import annotations

from inspect import unwrap

import torch
from torch import Tensor, optim


class EagerOptimizer(optim.Optimizer):
    """Base class with the unwrapped methods: torch wraps them to exclude optimizers from compilation."""

    add_param_group = unwrap(optim.Optimizer.add_param_group)
    zero_grad = unwrap(optim.Optimizer.zero_grad)
    state_dict = unwrap(optim.Optimizer.state_dict)
    load_state_dict = unwrap(optim.Optimizer.load_state_dict)

    def step_where(self, condition: Tensor | None) -> None:
        """`step`, which changes nothing where `condition`, 0-dim bool on the device, is false; None: there is none.

        No moment may be new in it. Nothing waits for the condition: where it turns out to be false, `take_back`
        follows.
        """
        raise NotImplementedError

    def take_back(self) -> None:
        """Forget that the last step was counted, where the host counts."""


class AdamW(EagerOptimizer, optim.AdamW):
    """AdamW of torch."""

    step = torch.no_grad()(unwrap(optim.AdamW.step))

    def step_where(self, condition: Tensor | None) -> None:
        """See `EagerOptimizer`: torch's fused kernel knows such a condition, and counts on the device."""
        self.found_inf = None if condition is None else (~condition).float()
        self.step()
        self.found_inf = None
