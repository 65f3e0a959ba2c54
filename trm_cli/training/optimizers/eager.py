"""Optimizers whose methods do not import torch's compiler, which would add two seconds to every start."""

from __future__ import annotations

from inspect import unwrap

import torch
from torch import optim


class EagerOptimizer(optim.Optimizer):
    """Base class with the unwrapped methods: torch wraps them to exclude optimizers from compilation."""

    add_param_group = unwrap(optim.Optimizer.add_param_group)
    zero_grad = unwrap(optim.Optimizer.zero_grad)
    state_dict = unwrap(optim.Optimizer.state_dict)
    load_state_dict = unwrap(optim.Optimizer.load_state_dict)


class AdamW(EagerOptimizer, optim.AdamW):
    """AdamW of torch."""

    step = torch.no_grad()(unwrap(optim.AdamW.step))
