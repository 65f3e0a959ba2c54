"""torch's optimizers without its compiler: their methods load it, two seconds of a start, to tell it to keep out."""

from __future__ import annotations

from inspect import unwrap

import torch
from torch import optim


class EagerOptimizer(optim.Optimizer):
    """A base whose methods are those that torch wraps for its compiler, which never sees an optimizer here."""

    add_param_group = unwrap(optim.Optimizer.add_param_group)
    zero_grad = unwrap(optim.Optimizer.zero_grad)
    state_dict = unwrap(optim.Optimizer.state_dict)
    load_state_dict = unwrap(optim.Optimizer.load_state_dict)


class AdamW(EagerOptimizer, optim.AdamW):
    """AdamW as torch computes it."""

    step = torch.no_grad()(unwrap(optim.AdamW.step))
