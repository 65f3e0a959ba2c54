"""Compare results: two models on the same puzzles, and groups of runs that differ by their seeds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import atan, comb, cos, pi, sin, sqrt
from statistics import mean, stdev

import numpy as np

#: A permutation test of more divisions than this draws some of them.
_MOST_DIVISIONS = 20_000
_DRAWS = 10_000


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value that two models are equally often right (McNemar 1947, in its binomial form).

    only_first, only_second: puzzles that one of them alone has right. Puzzles that both or neither have say nothing.
    """
    discordant = only_first + only_second
    if not discordant:
        return 1.0
    tail = sum(comb(discordant, hits) for hits in range(min(only_first, only_second) + 1))
    return min(1.0, float(2 * tail / 2**discordant))


def paired_difference(only_first: int, only_second: int, count: int) -> tuple[float, float, float]:
    """How much more often the second model is right, of `count` puzzles: (difference, low, high) of 95 % (Wald).

    The variance is that of the difference of two proportions of the same rows: ((b + c) - (c - b)^2 / n) / n^2.
    """
    difference = (only_second - only_first) / count
    variance = max(0.0, (only_first + only_second) / count - difference**2) / count
    reach = 1.959963984540054 * sqrt(variance)
    return difference, max(-1.0, difference - reach), min(1.0, difference + reach)


def t_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the mean of a few values (Student's t); None for fewer than two."""
    if len(values) < 2:
        return None
    reach = t_quantile(0.975, len(values) - 1) * stdev(values) / sqrt(len(values))
    return mean(values) - reach, mean(values) + reach


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float] | None:
    """95 % interval of the mean by drawing the values again and again (percentiles); None for fewer than two."""
    if len(values) < 2:
        return None
    low, high = np.percentile(_means(values, np.random.default_rng(seed)), [2.5, 97.5])
    return float(low), float(high)


def bootstrap_difference(first: Sequence[float], second: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95 % interval of mean(second) - mean(first), each drawn again for itself (percentiles)."""
    random = np.random.default_rng(seed)
    low, high = np.percentile(_means(second, random) - _means(first, random), [2.5, 97.5])
    return float(low), float(high)


def permutation_test(first: Sequence[float], second: Sequence[float], seed: int = 0) -> float:
    """Two-sided p-value that both groups of runs have one mean: the share of divisions that differ as much.

    All divisions of the runs into groups of these sizes where there are few (exact), else some that are drawn. Three
    runs beside three cannot give less than 0.1.
    """
    every, size = np.array([*first, *second], dtype=float), len(first)
    observed = abs(mean(first) - mean(second))
    whole = comb(len(every), size)
    if whole <= _MOST_DIVISIONS:
        chosen = np.array(list(combinations(range(len(every)), size)))
    else:
        random = np.random.default_rng(seed)
        chosen = np.array([random.permutation(len(every))[:size] for _ in range(_DRAWS)])
    sums = every[chosen].sum(1)
    differences = np.abs(sums / size - (every.sum() - sums) / (len(every) - size))
    as_much = int((differences >= observed - 1e-12).sum())
    return as_much / whole if whole <= _MOST_DIVISIONS else (as_much + 1) / (_DRAWS + 1)


def t_quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t with a whole number of degrees of freedom, by bisection."""
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if _t_below(middle, freedom) > probability else (middle, high)
    return (low + high) / 2


def _t_below(t: float, freedom: int) -> float:
    """P(T <= t) for t >= 0 (Abramowitz and Stegun 26.7.3 and 26.7.4: finite sums for whole degrees of freedom)."""
    angle = atan(t / sqrt(freedom))
    odd = freedom % 2
    term, total = (cos(angle) if odd else 1.0), 0.0
    for power in range(odd + 1, freedom, 2):
        total += term
        term *= cos(angle) ** 2 * power / (power + 1)
    between = 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total
    return 0.5 + between / 2


def _means(values: Sequence[float], random: np.random.Generator) -> np.ndarray:
    return np.asarray(random.choice(np.array(values, dtype=float), (_DRAWS, len(values))).mean(1))
