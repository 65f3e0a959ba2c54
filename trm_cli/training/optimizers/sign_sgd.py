"""Sign-SGD for the puzzle table: updates and decays only the rows of the batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
    def step(self, lr: float, where: Tensor | None = None) -> None:
        """Apply the gradient of the table, [N, E] sparse; without a gradient nothing happens.

        A row that was seen decays even when its gradient is zero (sign 0). where: 0-dim bool; false: nothing changes.
        """
        gradient = self.table.grad
        if gradient is None:
            return
        if not gradient.is_sparse:
            raise ValueError("SignSGD needs the sparse gradient of an embedding: a dense one would let all rows decay.")
        rows, total = _summed(gradient._indices()[0], gradient._values())
        before = self.table[rows]
        moved = (before * (1 - lr * self.weight_decay)).sub_(total.sign(), alpha=lr)
        self.table.index_copy_(0, rows, moved if where is None else torch.where(where, moved, before))

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.table.grad = None


def _summed(ids: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The ids [n] in order, and for each the sum of the values [n, E] of all that equal it, once for every one of them.

    The result keeps duplicates: `unique` would have to copy the number of distinct ids to the host.
    """
    ids, order = ids.sort(stable=True)
    group = torch.cat((ids.new_zeros(1), (ids[1:] != ids[:-1]).cumsum(0)))
    return ids, torch.zeros_like(values).index_add_(0, group, values[order])[group]
