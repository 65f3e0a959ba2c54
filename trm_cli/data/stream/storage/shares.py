"""State the share of each kind in a stream dataset, by records and by symbols that are asked for. Standard library."""

from __future__ import annotations

from collections.abc import Mapping


def share_line(kinds: object) -> str:
    """Put the counts of a split ({"grid": {"records": n, "symbols": m}, ...}) into a line; empty for what are none."""
    if not isinstance(kinds, Mapping):
        return ""
    entries = {name: counts for name, counts in kinds.items() if isinstance(counts, Mapping)}
    totals = {unit: sum(_number(counts.get(unit)) for counts in entries.values()) for unit in ("records", "symbols")}
    return "; ".join(
        f"{name} " + ", ".join(_share(_number(counts.get(unit)), total, unit) for unit, total in totals.items())
        for name, counts in entries.items()
    )


def _share(count: int, total: int, unit: str) -> str:
    return f"{count:,} {unit} ({100 * count / max(1, total):.1f} %)"


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
