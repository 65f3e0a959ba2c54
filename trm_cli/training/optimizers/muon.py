"""Muon for matrices: their momentum is made orthogonal before it is applied; AdamATan2 for all else.

Formula (arXiv 2502.16982, whose scale lets both share learning rate and weight decay):

    m <- lerp(m, g, 1 - beta1);  u <- orthogonal((1 - beta1) g + beta1 m)
    p <- p (1 - lr wd) - lr * 0.2 sqrt(max(rows, columns)) u
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from trm_cli.training.distributed.tensor_shards import local_tensors
from trm_cli.training.optimizers.adam_atan2 import AdamATan2

# An odd polynomial a x + b x^3 + c x^5 that drives singular values towards 1 (the published coefficients of Muon):
# after five rounds those from 0.01 on lie between 0.7 and 1.2.
_POLYNOMIAL = (3.4445, -4.7750, 2.0315)
_ROUNDS = 5
# Root mean square of an update of Adam, which this scale gives to an orthogonal one.
_RMS_OF_ADAM = 0.2


class Muon(AdamATan2):
    """A group with `"matrices": True` holds weights [m, n] of maps from features to features; embeddings and heads do
    not belong there. The second moment of a matrix stays zero: a checkpoint has one form for every optimizer.
    """

    def _update(self, parameters: list[nn.Parameter], group: dict[str, Any], step: int) -> None:
        if not group["matrices"]:
            super()._update(parameters, group, step)
            return
        lr, beta1 = float(group["lr"]), group["betas"][0]
        gradients = local_tensors(p.grad for p in parameters if p.grad is not None)
        means = local_tensors(self.state[p]["exp_avg"] for p in parameters)
        torch._foreach_lerp_(means, gradients, 1 - beta1)
        weights = local_tensors(parameters)
        torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
        for weight, mean, gradient in zip(weights, means, gradients, strict=True):
            direction = orthogonal(gradient.lerp(mean, beta1))
            weight.sub_(direction, alpha=lr * _RMS_OF_ADAM * math.sqrt(max(weight.shape)))


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix whose singular values are about 1, [m, n], by five rounds of Newton and Schulz."""
    a, b, c = _POLYNOMIAL
    x = matrix / (torch.linalg.matrix_norm(matrix) + 1e-7)
    if tall := x.shape[0] > x.shape[1]:
        x = x.T
    for _ in range(_ROUNDS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    result: Tensor = x.T if tall else x
    return result
