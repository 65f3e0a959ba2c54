"""Which rows of a batch belong to which process. Standard library only."""

from __future__ import annotations

from trm_cli.errors import UsageError


def own_rows(total: int, rank: int, count: int) -> slice:
    """The rows of process `rank` of `count`: contiguous, in the order of the ranks, all of them together `total`."""
    return slice(rank * total // count, (rank + 1) * total // count)


def check_divides(global_batch_size: int, count: int) -> None:
    """Raise UsageError where `count` processes cannot share the batch evenly, naming the nearest counts that can."""
    if global_batch_size % count == 0:
        return
    fitting = [number for number in range(1, global_batch_size + 1) if global_batch_size % number == 0]
    *others, last = (str(number) for number in sorted(sorted(fitting, key=lambda number: abs(number - count))[:4]))
    choice = f"{', '.join(others)} or {last} processes" if others else "1 process"
    larger = -(-global_batch_size // count) * count
    raise UsageError(
        f"global_batch_size={global_batch_size} cannot be shared evenly by {count} processes",
        hint=f"use {choice}, or global_batch_size={larger} (another run)",
    )
