"""Byte models that count, fast enough for megabytes: a text begins with a start mark and ends with a scored end mark.

P_n(b | h) = w c(hb) / c(h) + (1 - w) P_(n-1)(b | h'), w = c(h) / (c(h) + 5), where h' is h without its first symbol and
P_(-1) is uniform over 256 bytes and the end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_UNSEEN, _SYMBOLS = 5.0, 257
_END, _START = 256, 257
#: More than any symbol.
_BASE = 258

Numbers = NDArray[np.int64]


def bits_per_byte(train: Sequence[bytes], asked: Sequence[bytes], orders: Sequence[int]) -> dict[int, float]:
    """What a byte of the asked texts costs, their ends included, for each order."""
    symbols, place, trains = _sequence(train, asked)
    scored = ~trains & (place > 0)
    probability = np.full(len(symbols), 1.0 / _SYMBOLS)
    context = np.zeros(len(symbols), np.int64)  # the number of the last n symbols before each place
    found = {}
    for order in range(max(orders) + 1):
        if order:
            # The last n symbols: the one n places ago, and what the symbol before this one had as its last n - 1.
            longer = np.empty_like(context)
            longer[1:], longer[0] = context[:-1] * _BASE + symbols[:-1], 0
            context = np.unique(longer, return_inverse=True)[1].reshape(-1)
        usable = place >= order
        follows = np.unique(context * _BASE + symbols, return_inverse=True)[1].reshape(-1)
        counts = usable & trains & (place > 0)
        seen = np.bincount(context[counts], minlength=int(context.max()) + 1)[context]
        here = np.bincount(follows[counts], minlength=int(follows.max()) + 1)[follows]
        weight = np.where(usable, seen / (seen + _UNSEEN), 0.0)
        probability = weight * here / np.maximum(seen, 1) + (1 - weight) * probability
        if order in orders:
            found[order] = float(-np.log2(probability[scored]).sum() / (sum(map(len, asked))))
    return found


def _sequence(train: Sequence[bytes], asked: Sequence[bytes]) -> tuple[Numbers, Numbers, NDArray[np.bool_]]:
    """All texts in a row: symbols, their places in their text (0: the start mark), and whether they train."""
    texts = [*train, *asked]
    symbols = [np.concatenate([[_START], np.frombuffer(text, np.uint8).astype(np.int64), [_END]]) for text in texts]
    places = [np.arange(len(one)) for one in symbols]
    trains = np.repeat([True] * len(train) + [False] * len(asked), [len(one) for one in symbols])
    return np.concatenate(symbols), np.concatenate(places), trains
