"""Counter-based random numbers: a pure function of (seed, stream, counters).

There is no generator and no state: number 7 needs no numbers 0 to 6, two processes that pass the same arguments get the
same numbers, and a checkpoint has nothing to save. Only 64-bit integer arithmetic that wraps is used, so that the
numbers are the same on every platform and with every numpy.

The mixing function is the finaliser of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
generators", 2014; constants: Stafford's variant 13). It is a bijection, so neighbouring counters never collide.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bits: TypeAlias = NDArray[np.uint64]
Counters: TypeAlias = ArrayLike | tuple[ArrayLike, ...]

#: The largest bound of `integers` and `scale_bits`.
LARGEST_BOUND = 1 << 31
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_ODD = np.uint64(0xD1342543DE82EF95)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S32, _S11 = (np.uint64(shift) for shift in (30, 27, 31, 32, 11))


def mix64(values: Bits) -> Bits:
    """Scramble 64-bit integers, one to one."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> _S30)) * _MIX_1
        values = (values ^ (values >> _S27)) * _MIX_2
        return values ^ (values >> _S31)


@lru_cache(maxsize=256)
def stream_key(seed: int, stream: str) -> int:
    """Return the 64-bit key of a named stream of a seed (any integer), by SHA-256."""
    return int.from_bytes(hashlib.sha256(f"{int(seed)}\0{stream}".encode()).digest()[:8], "little")


def keys(seed: int, stream: str, counters: Counters) -> Bits:
    """Return one scrambled 64-bit key per counter.

    `counters` is an array of integers, or a tuple of arrays that are broadcast against each other and together form
    the counter, as in (epoch, group).
    """
    state: Bits = np.asarray(stream_key(seed, stream), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for counter in counters if isinstance(counters, tuple) else (counters,):
            # int64 first: a Python int has no dtype of its own, and negative counters wrap to distinct values.
            count = np.asarray(counter)
            count = count if count.dtype == np.uint64 else count.astype(np.int64).view(np.uint64)
            state = mix64(state + (count + np.uint64(1)) * _GOLDEN)
    return state


def bits(seed: int, stream: str, counters: Counters, draws: int) -> Bits:
    """Return `draws` independent 64-bit integers per counter: [..., draws]."""
    start = keys(seed, stream, counters)
    with np.errstate(over="ignore"):
        return mix64(start[..., None] + np.arange(1, draws + 1, dtype=np.uint64) * _ODD)


def uniform(seed: int, stream: str, counters: Counters, draws: int) -> NDArray[np.float64]:
    """Return `draws` numbers in [0, 1) per counter, with 53 random bits each: [..., draws]."""
    return np.asarray((bits(seed, stream, counters, draws) >> _S11) * 2.0**-53, dtype=np.float64)


def integers(seed: int, stream: str, counters: Counters, bound: ArrayLike) -> NDArray[np.int64]:
    """Return one integer in [0, bound) per counter; `bound` (up to 2**31) is a number or an array, one per counter.

    The upper 32 bits are multiplied by the bound and shifted: two values differ in likelihood by at most bound / 2**32.
    """
    return scale_bits(keys(seed, stream, counters), bound)


def scale_bits(random: Bits, bound: ArrayLike) -> NDArray[np.int64]:
    """Map 64 random bits to an integer in [0, bound), bound at most 2**31."""
    limit = np.asarray(bound, dtype=np.uint64)
    return np.asarray(((random >> _S32) * limit) >> _S32, dtype=np.int64)


def permutation(seed: int, stream: str, n: int) -> NDArray[np.int64]:
    """Return a random order of 0..n-1: [n]."""
    return permutations(seed, stream, 0, n)


def permutations(seed: int, stream: str, counters: Counters, n: int) -> NDArray[np.int64]:
    """Return one random order of 0..n-1 per counter: [..., n]."""
    return order_of_bits(bits(seed, stream, counters, n))


def order_of_bits(random: Bits) -> NDArray[np.int64]:
    """Turn random bits [..., n] into a random order of 0..n-1 along the last axis.

    Each index is packed into the low bits of its own random number and the numbers are sorted: there are no ties, so
    the result does not depend on the sorting algorithm.
    """
    n = random.shape[-1]
    mask = np.uint64((1 << max(1, (n - 1).bit_length())) - 1)
    packed = (random & ~mask) | np.arange(n, dtype=np.uint64)
    packed.sort(axis=-1)
    return (packed & mask).astype(np.int64)
