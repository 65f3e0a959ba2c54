"""Number the colours of a task by what its demonstrations use them for.

Colours of inputs and outputs come first, then those of inputs alone, both by how much of the inputs they cover; then
those of no demonstration; last those of outputs alone, the most frequent one at the very end. So the background, what
vanishes and what is drawn have the same numbers in most tasks, and tasks that differ in their colours alone are one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from trm_cli.models.hesc.rows.kinds import COLOURS, FIRST_COLOUR


class ColourOrder(NamedTuple):
    """numbers int64 [B, 10]: the number of each colour of each row, a permutation; 0 to 9 without demonstrations."""

    numbers: Tensor

    def renumbered(self, data: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The same rows, with the colours of their inputs and of their demonstrations renumbered."""
        table = functional.pad(self.numbers + 1, (1, 0))  # 0: no cell
        found = dict(data)
        for name in ("cells", "pair_cells"):
            boards = data[name]
            found[name] = table.gather(1, boards.flatten(1).long()).to(boards.dtype).view_as(boards)
        return found

    def as_given(self, scores: Tensor, rows: Tensor) -> Tensor:
        """Scores [b, T, W] of renumbered colours -> of the colours as rows int64 [b] have them."""
        controls = torch.arange(FIRST_COLOUR, device=rows.device).expand(len(rows), -1)
        places = torch.cat((controls, self.numbers[rows] + FIRST_COLOUR), 1)[:, None]
        return scores.gather(-1, places.expand_as(scores))


def colour_order(pairs: Tensor, sizes: Tensor) -> ColourOrder:
    """The order for demonstrations uint8 [B, k, 2, n] (0: no cell) of sizes [B, k, 4], 0 where there is none."""
    boards = pairs.flatten(0, 2).long()
    counts = torch.zeros(len(boards), 1 + COLOURS, device=boards.device)
    counts = counts.scatter_add(1, boards, torch.ones_like(boards, dtype=counts.dtype))[:, 1:]
    shares = (counts / counts.sum(1, keepdim=True).clamp_min(1)).unflatten(0, pairs.shape[:3])
    existing = (sizes.sum(-1) > 0).sum(1).clamp_min(1)
    given, wanted = (shares.sum(1) / existing[:, None, None]).unbind(1)  # [B, 10] each, from 0 to 1
    use = torch.where(given > 0, torch.where(wanted > 0, 0, 1), torch.where(wanted > 0, 3, 2))
    covered = torch.where(given > 0, -given, wanted)
    # By use (twice, since shares are at most 1), then by how much of the inputs they cover, then of the outputs.
    order = wanted.argsort(dim=1, descending=True, stable=True)
    order = order.gather(1, (2 * use + covered).gather(1, order).argsort(dim=1, stable=True))
    return ColourOrder(order.argsort(dim=1))
