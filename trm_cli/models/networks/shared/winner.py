"""Winner takes all over K starts: K scratch states beside one answer, of which that with the smallest loss is learnt.

After "Speed is Confidence" (arXiv 2601.19085): loss and gradient go through the winner alone, its answer state goes to
all, each start keeps its scratch state, and one that has become like another is drawn anew. An evaluation thinks from
the first start alone, so it costs what it did.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from trm_cli.models.supervision.starts import normal

#: Name in `Carry.extra`: the scratch states of the starts after the first, [B, K - 1, L, D].
SCRATCH = "scratch"
#: Two starts that look this much in the same direction are one.
_ALIKE = 0.95

States = dict[str, Tensor]


def redrawn(first: Tensor, others: Tensor, initial: Tensor, new: Tensor, draws: Tensor) -> Tensor:
    """Scratch states of all starts [B, K, L, D]: the first [B, L, D], and the others [B, K - 1, L, D], of which those
    are drawn anew, around `initial` [D], whose row is new (bool [B]) or that are like an earlier one.

    draws: uniform [B, (K - 1) * 2D].
    """
    count = others.shape[1]
    noise = torch.stack([normal(part) for part in draws.chunk(count, -1)], 1)  # [B, K - 1, D]
    kept = [first]
    for number in range(count):
        own = others[:, number]
        again = new.clone()
        for earlier in kept:
            again |= F.cosine_similarity(own.flatten(1), earlier.flatten(1)) > _ALIKE
        start = (initial + noise[:, number])[:, None].to(own.dtype)
        kept.append(torch.where(again[:, None, None], start, own))
    return torch.stack(kept, 1)


@torch.no_grad()
def choose(
    z: States, scratch: Tensor, think: Callable[[States], States], loss: Callable[[States], Tensor]
) -> tuple[States, Tensor]:
    """Think from each of the K starts [B, K, L, D]; return the states from which a row gets the smallest loss [B], and
    what all scratch states become, [B, K, L, D].
    """
    after = [think({**z, "z_L": start}) for start in scratch.unbind(1)]
    best = torch.stack([loss(states) for states in after], 1).argmin(1)
    won = scratch[torch.arange(len(best), device=best.device), best]
    return {**z, "z_L": won}, torch.stack([states["z_L"] for states in after], 1)
