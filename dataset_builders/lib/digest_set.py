"""Remember which documents were seen, in 16 bytes a document instead of the 100 of a Python set. Standard library."""

from __future__ import annotations

from array import array

_FIRST_SLOTS = 1 << 12


class DigestSet:
    """A set of SHA-256 digests, compared by their first 128 bits: two million of them take 64 MiB.

    Open addressing with linear steps: digests are random, so that their own bits are the hash.
    """

    def __init__(self) -> None:
        self._count = 0
        self._table = _empty_table(_FIRST_SLOTS)

    def __len__(self) -> int:
        return self._count

    def add(self, digest: bytes) -> bool:
        """Add a digest; whether it is new."""
        # A slot that begins with 0 is free.
        high, low = int.from_bytes(digest[:8], "little") | 1, int.from_bytes(digest[8:16], "little")
        if not _insert(self._table, high, low):
            return False
        self._count += 1
        if 3 * self._count > len(self._table):  # two slots of three are taken
            self._grow()
        return True

    def _grow(self) -> None:
        old, self._table = self._table, _empty_table(len(self._table))
        for place in range(0, len(old), 2):
            if old[place]:
                _insert(self._table, old[place], old[place + 1])


def _empty_table(slots: int) -> array[int]:
    """Twice as many numbers as slots."""
    return array("Q", bytes(16)) * slots


def _insert(table: array[int], high: int, low: int) -> bool:
    mask = len(table) - 1
    place = (high ^ low) * 2 & mask
    while table[place]:
        if table[place] == high and table[place + 1] == low:
            return False
        place = (place + 2) & mask
    table[place], table[place + 1] = high, low
    return True
