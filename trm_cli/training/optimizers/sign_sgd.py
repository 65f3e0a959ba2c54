"""Sign-SGD for the puzzle table: updates and decays only the rows of the batch."""

from __future__ import annotations

import torch
from torch import nn


class SignSGD:
    """`row <- row (1 - lr wd) - lr sign(sum of its gradients)` for every row with an entry in the sparse gradient.

    It has no state: learning rate and decay come in with each step.
    """

    def __init__(self, table: nn.Parameter, *, weight_decay: float) -> None:
        if weight_decay < 0:
            raise ValueError(f"weight_decay must not be negative, not {weight_decay}.")
        self.table = table
        self.weight_decay = weight_decay

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Apply the gradient of the table, [N, E] sparse; without a gradient nothing happens.

        A row that was seen decays even when its gradient is zero (sign 0).
        """
        gradient = self.table.grad
        if gradient is None:
            return
        if not gradient.is_sparse:
            raise ValueError("SignSGD needs the sparse gradient of an embedding: a dense one would let all rows decay.")
        gradient = gradient.coalesce()  # equal ids become one row that holds their sum
        rows, total = gradient.indices()[0], gradient.values()
        moved = self.table[rows].mul_(1 - lr * self.weight_decay).sub_(total.sign(), alpha=lr)
        self.table.index_copy_(0, rows, moved)

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.table.grad = None
