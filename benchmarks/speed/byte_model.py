"""Byte model without a network, as a baseline: interpolated bigram and trigram counts.

P_n(b | h) = w c(hb) / c(h) + (1 - w) P_(n-1)(b | h'), w = c(h) / (c(h) + 5), where h' is h without its first byte and
P_(-1) is uniform over 256 bytes and the end.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

_UNSEEN = 5.0
_SYMBOLS = 257


class ByteModel:
    """Counts of `order` + 1 bytes and fewer."""

    def __init__(self, texts: Iterable[bytes], order: int) -> None:
        self.order = order
        self._follows: list[Counter[bytes]] = [Counter() for _ in range(order + 1)]
        self._context: list[Counter[bytes]] = [Counter() for _ in range(order + 1)]
        for text in texts:
            for end in range(1, len(text) + 1):
                for length in range(min(order, end - 1) + 1):
                    self._follows[length][text[end - 1 - length : end]] += 1
                    self._context[length][text[end - 1 - length : end - 1]] += 1

    def bits(self, text: bytes, start: int, stop: int) -> float:
        """What the bytes start .. stop - 1 of a text cost, given everything before them."""
        total = 0.0
        for end in range(start + 1, stop + 1):
            probability = 1.0 / _SYMBOLS
            for length in range(min(self.order, end - 1) + 1):
                seen = self._context[length][text[end - 1 - length : end - 1]]
                if seen:
                    weight = seen / (seen + _UNSEEN)
                    share = self._follows[length][text[end - 1 - length : end]] / seen
                    probability = weight * share + (1 - weight) * probability
            total -= math.log2(probability)
        return total
