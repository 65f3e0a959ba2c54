"""Choose the next token from logits: the most likely one, or one sampled with a uniform number from the caller."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How tokens are chosen. temperature 0 takes the likeliest; top_k leaves out all but the k likeliest, top_p all but
    the fewest likeliest whose probabilities at that temperature add up to it; None: leaves out none.

    Raises ValueError for a negative temperature and for no token to choose from.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise ValueError(f"A temperature is a number from 0 on, not {self.temperature}.")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k is at least 1, not {self.top_k}.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is a share above 0 and at most 1, not {self.top_p}.")

    def choose(self, scores: Tensor, draw: Tensor | None) -> Tensor:
        """Tokens int64 [B] for scores [B, V], the logits at temperature 1, and draws [B] in [0, 1).

        Raises ValueError where chance is needed and no draw is given.
        """
        if self.temperature == 0:
            return scores.argmax(-1)
        if draw is None:
            raise ValueError("Sampling at a temperature needs draws.")
        device = scores.device
        scores = scores.cpu().double() / self.temperature  # not every device has float64
        if self.top_k is not None and self.top_k < scores.shape[-1]:
            least = scores.topk(self.top_k, dim=-1).values[:, -1:]
            scores = scores.masked_fill(scores < least, -torch.inf)
        probs = scores.softmax(-1)
        if self.top_p is not None:
            probs = _nucleus(probs, self.top_p)
        token = (draw.cpu().double()[:, None] >= probs.cumsum(-1)).sum(-1)
        # Where rounding leaves a rest above the last sum, the last token that can be takes it.
        last = scores.shape[-1] - 1 - (probs > 0).flip(-1).int().argmax(-1)
        return torch.minimum(token, last).to(device)


def _nucleus(probs: Tensor, share: float) -> Tensor:
    """The probabilities [B, V] of the fewest likeliest tokens that have at least `share` together, the others 0."""
    ordered, order = probs.sort(dim=-1, descending=True, stable=True)
    kept = ordered.masked_fill(ordered.cumsum(-1) - ordered >= share, 0.0)
    return torch.zeros_like(probs).scatter(-1, order, kept / kept.sum(-1, keepdim=True))
