"""What memory an order of allocations takes from the system: more than what is alive, because holes stay resident."""

from __future__ import annotations

from bisect import bisect_left, insort

_ALIGNMENT = 64
#: An aligned block is cut out of a larger one, so a hole of exactly its size is passed over (up to glibc 2.37).
_SLACK = 96


class Heap:
    """A heap that takes the smallest hole that fits, joins neighbouring holes and grows at its end, as glibc's does.

    peak: the most bytes that it ever took. Blocks of every size share it (see `allocator`).
    """

    def __init__(self) -> None:
        self.peak = 0
        self._top = 0
        self._used: dict[int, tuple[int, int]] = {}  # key -> (start, size)
        self._holes: list[tuple[int, int]] = []  # (size, start), by size
        self._starts: dict[int, int] = {}  # of holes: start -> size
        self._ends: dict[int, int] = {}  # of holes: end -> start

    def take(self, key: int, size: int) -> None:
        """Allocate `size` bytes under a name."""
        size = -(-max(size, 1) // _ALIGNMENT) * _ALIGNMENT
        self._used[key] = (self._place(size), size)
        self.peak = max(self.peak, self._top)

    def give(self, key: int) -> None:
        """Free what was allocated under a name."""
        start, size = self._used.pop(key)
        if (after := self._starts.get(start + size)) is not None:
            self._drop_hole(start + size)
            size += after
        if (before := self._ends.get(start)) is not None:
            size += start - before
            self._drop_hole(before)
            start = before
        if start + size == self._top:
            self._top = start
        else:
            self._add_hole(start, size)

    def _place(self, size: int) -> int:
        index = bisect_left(self._holes, (size + _SLACK, -1))
        if index == len(self._holes):
            start = self._top
            self._top += size
            return start
        found, start = self._holes[index]
        self._drop_hole(start)
        if found > size:
            self._add_hole(start + size, found - size)
        return start

    def _add_hole(self, start: int, size: int) -> None:
        insort(self._holes, (size, start))
        self._starts[start], self._ends[start + size] = size, start

    def _drop_hole(self, start: int) -> None:
        size = self._starts.pop(start)
        del self._ends[start + size]
        del self._holes[bisect_left(self._holes, (size, start))]
