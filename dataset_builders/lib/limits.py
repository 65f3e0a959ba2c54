"""Count what is taken of each source, left out or changed, so that nothing happens to it in silence."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from trm_cli.data.files.manifest import Manifest
from trm_cli.errors import DatasetError

T = TypeVar("T")

# Beyond the limit nothing is used, so counting must not take much longer than the build itself.
MOST_COUNTED = 1_000_000
UNKNOWN = "more, not counted"


class Limits:
    """Items taken and left of every source that a limit cut, by name, and how many were treated otherwise."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int | str]] = {}
        self._others: Counter[str] = Counter()

    def take(self, name: str, items: Iterable[T], limit: int | None, *, countable: bool = True) -> Iterator[T]:
        """Yield at most `limit` items, then count what follows; only whether anything does where it is not countable.

        The consumer must ask until there are no more.
        """
        remaining = iter(items)
        taken = 0
        for item in islice(remaining, limit):
            taken += 1
            yield item
        if taken == limit:
            self.note(name, taken, _count(remaining, MOST_COUNTED if countable else 1, countable))

    def note(self, name: str, taken: int, left: int | str) -> None:
        """Record what was taken of a source, where anything was left."""
        if left:
            self._counts[name] = {"taken": taken, "left": left}

    def count(self, words: str, number: int) -> None:
        """Record how many items had something done to them that `words` say."""
        self._others[words] += number

    def counted(self) -> str:
        """What was done to items, in words."""
        return "; ".join(f"{words}: {number:,}" for words, number in self._others.items() if number)

    def planned(self) -> dict[str, object]:
        """Return the entries of the manifest's `planned`; nothing where every source was used as it is."""
        found = {"limits": dict(self._counts), "counts": {words: n for words, n in self._others.items() if n}}
        return {name: counts for name, counts in found.items() if counts}


def _count(items: Iterator[object], most: int, countable: bool) -> int | str:
    try:
        left = sum(1 for _ in islice(items, most))
    except DatasetError:  # damaged behind the limit: no concern of this build
        return UNKNOWN
    if left < most:
        return left
    return f"{most:,} or more" if countable else UNKNOWN


def say_limits(manifest: Manifest) -> None:
    """Print what was taken of the sources, left out or changed, on stderr."""
    for line in manifest.limit_lines():
        print(line, file=sys.stderr)
