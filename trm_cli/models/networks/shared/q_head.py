"""The halting head: the values of halting and of continuing, read from one token."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trm_cli.models.layers.initialization import linear_parameter
from trm_cli.models.numerics import widen

# Halting and continuing start at sigmoid(-5), so that early training uses every step.
_Q_BIAS = -5.0


class QHead(nn.Module):
    """Two values per row from one token: halt and continue. Starts at weight 0, bias -5."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        # Drawn and thrown away, as the published initialisation does: the layers after it depend on the generator.
        self.weight = linear_parameter(2, hidden_size)
        self.bias = nn.Parameter(torch.full((2,), _Q_BIAS))
        with torch.no_grad():
            self.weight.zero_()

    def forward(self, token: Tensor) -> tuple[Tensor, Tensor]:
        """Token [B, D] of any type -> (q_halt, q_continue), float32 [B] each."""
        q_halt, q_continue = F.linear(widen(token), self.weight, self.bias).unbind(-1)
        return q_halt, q_continue
