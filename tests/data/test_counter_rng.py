from __future__ import annotations

import math

import numpy as np
import pytest

from trm_cli.data import counter_rng


def chi_square(counts: np.ndarray) -> float:
    """How many standard deviations the chi-square statistic of equal expectations lies above its mean."""
    counts = np.asarray(counts, dtype=float).ravel()
    expected = counts.mean()
    freedom = len(counts) - 1
    return float((((counts - expected) ** 2 / expected).sum() - freedom) / math.sqrt(2 * freedom))


def test_known_values() -> None:
    # Written down once: another platform, numpy or release must give the same, or old runs change their data.
    assert counter_rng.bits(0, "known", np.arange(2), 2).tolist() == KNOWN_BITS
    assert counter_rng.permutation(-5, "known", 8).tolist() == KNOWN_PERMUTATION
    assert counter_rng.integers(2**80, "known", (3, np.arange(6)), 1000).tolist() == KNOWN_INTEGERS


KNOWN_BITS = [[1407777919615900155, 10031190505159582711], [5404580756547861965, 17180090816450861565]]
KNOWN_PERMUTATION = [6, 0, 7, 4, 5, 1, 2, 3]
KNOWN_INTEGERS = [702, 367, 617, 903, 354, 502]


def test_mixing_matches_a_plain_python_reference() -> None:
    def mix(value: int) -> int:
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
        return value ^ value >> 31

    key = counter_rng.stream_key(11, "s")
    for counter in (0, 1, 2**31, -1):
        state = mix((key + (counter + 1) * 0x9E3779B97F4A7C15) % 2**64)
        draws = [mix((state + j * 0xD1342543DE82EF95) % 2**64) for j in (1, 2, 3)]
        assert counter_rng.bits(11, "s", counter, 3).tolist() == draws


def test_one_number_does_not_depend_on_what_else_is_asked() -> None:
    many = counter_rng.uniform(1, "s", np.arange(100), 5)
    assert counter_rng.uniform(1, "s", 42, 5).tolist() == many[42].tolist()
    assert counter_rng.uniform(1, "s", np.array([99, 7]), 2).tolist() == many[[99, 7], :2].tolist()
    grid = counter_rng.uniform(1, "s", (np.arange(4)[:, None], np.arange(6)), 1)
    assert grid.shape == (4, 6, 1)
    assert grid[2, 3] == counter_rng.uniform(1, "s", (2, 3), 1)


def test_seeds_streams_counters_and_places_matter() -> None:
    values = [
        counter_rng.bits(seed, stream, counters, 1).item()
        for seed in (0, 1)
        for stream in ("a", "b")
        for counters in (0, 1, (0, 1), (1, 0), (0, 0))
    ]
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("bit", range(0, 64, 9))
def test_uniform_in_value_and_between_neighbours(bit: int) -> None:
    bits = counter_rng.bits(3, "uniform", np.arange(200_000), 2)
    ones = (bits >> np.uint64(bit)) & np.uint64(1)
    pairs = ones[:, 0] * 2 + ones[:, 1]
    assert chi_square(np.bincount(pairs.astype(int), minlength=4)) < 6
    neighbours = ones[:-1, 0] * 2 + ones[1:, 0]
    assert chi_square(np.bincount(neighbours.astype(int), minlength=4)) < 6


def test_uniform_is_uniform_and_uncorrelated() -> None:
    draws = counter_rng.uniform(5, "u", np.arange(100_000), 3)
    assert 0 <= draws.min() < draws.max() < 1
    assert chi_square(np.histogram(draws, bins=1000, range=(0, 1))[0]) < 6
    cells = np.floor(draws * 16).astype(int) @ [256, 16, 1]
    assert chi_square(np.bincount(cells, minlength=4096)) < 6
    columns = np.column_stack([draws[:-1], draws[1:], draws[:-1] ** 2])
    correlation = np.corrcoef(columns, rowvar=False)[:3, 3:5]
    assert np.abs(correlation).max() < 0.02


@pytest.mark.parametrize("seeds", [False, True])
def test_related_seeds_and_epochs_are_independent(seeds: bool) -> None:
    def row(k: int) -> np.ndarray:
        return (
            counter_rng.uniform(k, "s", np.arange(20_000), 1)
            if seeds
            else counter_rng.uniform(0, "s", (k, np.arange(20_000)), 1)
        )

    rows = np.stack([row(k)[:, 0] for k in range(8)])
    correlation = np.corrcoef(rows) - np.eye(8)
    assert np.abs(correlation).max() < 5 / math.sqrt(20_000)


@pytest.mark.parametrize("bound", [1, 2, 7, 1001])
def test_integers(bound: int) -> None:
    values = counter_rng.integers(0, "i", np.arange(bound * 100), bound)
    assert values.min() >= 0
    assert values.max() < bound
    if bound > 1:
        assert chi_square(np.bincount(values, minlength=bound)) < 6
    bounds = np.arange(1, 50)
    assert (counter_rng.integers(0, "i", bounds, bounds) < bounds).all()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_permutations_are_uniform(n: int) -> None:
    count = math.factorial(n) * 500
    rows = counter_rng.permutations(0, "p", np.arange(count), n)
    assert (np.sort(rows, axis=1) == np.arange(n)).all()
    _, counts = np.unique(rows @ n ** np.arange(n), return_counts=True)
    assert len(counts) == math.factorial(n)
    if n > 1:
        assert chi_square(counts) < 6


def test_a_long_permutation() -> None:
    order = counter_rng.permutation(0, "long", 100_000)
    assert (np.sort(order) == np.arange(100_000)).all()
    assert chi_square(np.histogram2d(np.arange(100_000), order, bins=20)[0]) < 6


def test_the_global_generator_is_left_alone() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    counter_rng.permutations(0, "p", np.arange(10), 9)
    assert (np.random.get_state()[1] == before).all()
