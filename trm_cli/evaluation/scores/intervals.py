"""Compute shares with their 95 % confidence intervals (Wilson's score interval).

Wilson 1927, "Probable inference, the law of succession, and statistical inference": the set of true shares p for which
the observed share lies within z standard deviations sqrt(p (1 - p) / n). It never leaves [0, 1] and stays honest at
0 and n hits, where the textbook interval has length zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

#: Standard deviations of a two-sided 95 % interval.
Z_95 = 1.959963984540054


def wilson(hits: float, count: int, z: float = Z_95) -> tuple[float, float]:
    """Compute the interval (low, high) for `hits` of `count`; (0, 1) where nothing was counted.

    hits need not be whole: for a sum of values in [0, 1] the interval is at least as wide as it has to be, because no
    such values vary more than hits and misses of the same mean. Raises ValueError unless 0 <= hits <= count.
    """
    if not 0 <= hits <= count:
        raise ValueError(f"{hits} hits of {count} are no share")
    if count == 0:
        return 0.0, 1.0
    share, spread = hits / count, z * z / count
    centre = (share + spread / 2) / (1 + spread)
    reach = z * sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    # At the ends the formula gives 0 and 1 but for rounding.
    return (0.0 if hits == 0 else max(0.0, centre - reach)), (1.0 if hits == count else min(1.0, centre + reach))


@dataclass(frozen=True)
class Share:
    """The hits among `count` rows; where rows hit in part (token accuracy), `hits` is the sum of their parts."""

    hits: float
    count: int

    @property
    def value(self) -> float | None:
        """The share, or None where nothing was counted."""
        return self.hits / self.count if self.count else None

    def to_json(self) -> dict[str, Any]:
        """Return hits, count, value and the ends of the 95 % interval."""
        low, high = wilson(self.hits, self.count)
        return {"hits": self.hits, "count": self.count, "value": self.value, "low": low, "high": high}
