"""A batch in parts, so that no more rows are computed at once than training computes."""

from __future__ import annotations

from collections.abc import Iterator


def micro_batches(rows: int, size: int | None) -> Iterator[slice]:
    """The parts of a batch of `rows` rows, `size` each, None = all at once; the last one may be smaller."""
    size = size or max(1, rows)
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))
