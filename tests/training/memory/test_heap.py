"""The model of a heap: holes are used again where the next block fits into them, and stay resident where none does."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from trm_cli.training.memory.heap import Heap


def test_a_hole_is_used_again_by_what_is_clearly_smaller_and_joined_with_its_neighbours() -> None:
    heap = Heap()
    for key in range(3):
        heap.take(key, 1000 * 64)
    heap.take(9, 64)
    assert heap.peak == 3000 * 64 + 64
    heap.give(1)
    heap.take(4, 900 * 64)
    assert heap.peak == 3000 * 64 + 64
    heap.take(5, 1000 * 64)  # its own size would not fit even a hole of that size
    assert heap.peak == 4000 * 64 + 64
    heap.give(4)
    heap.give(0)
    heap.take(6, 1900 * 64)
    assert heap.peak == 4000 * 64 + 64


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 40_000), st.integers(0, 30)), min_size=1, max_size=80))
def test_blocks_never_overlap_and_the_peak_is_never_below_what_is_alive(orders: list[tuple[int, int]]) -> None:
    heap, alive = Heap(), {}
    for number, (size, victim) in enumerate(orders):
        heap.take(number, size)
        alive[number] = size
        assert heap.peak >= sum(alive.values())
        if victim in alive:
            heap.give(victim)
            del alive[victim]
        blocks = sorted(heap._used.values())
        assert all(start + length <= after for (start, length), (after, _) in itertools.pairwise(blocks))


def test_a_hole_of_exactly_its_size_is_passed_over() -> None:
    heap = Heap()
    heap.take(0, 6400)
    heap.take(1, 64)
    heap.give(0)
    heap.take(2, 6400)
    assert heap.peak == 2 * 6400 + 64
