"""Compare the configuration that a run was started with and the one it is to be resumed with.

For every key the schema declares what a change means: `free` (logging, cadence, where and how it is computed; the plan
stays the same), `replan` (the schedule or the optimizer's numbers change: needs --replan), `fatal` (another
model or other data: another run).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trm_cli.config.dump import scalar
from trm_cli.config.schema import RunConfig
from trm_cli.keys import Resume, Section, resume_class

EFFECTS = {
    "free": "may change: the plan stays the same",
    "replan": "changes the plan of the run",
    "fatal": "another run",
}


@dataclass(frozen=True)
class Difference:
    """One key whose value has changed."""

    key: str
    before: Any
    now: Any
    resume: Resume


def differences(before: RunConfig, now: RunConfig) -> list[Difference]:
    """Every key that differs, the most severe first."""
    order = ("fatal", "replan", "free")
    return sorted(_compare(before, now, ""), key=lambda difference: order.index(difference.resume))


def table(found: Sequence[Difference], header: tuple[str, str, str, str]) -> str:
    """Format the differences as an aligned table, in which values are written as in a configuration."""
    rows = [header, *((one.key, scalar(one.before), scalar(one.now), EFFECTS[one.resume]) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  " + "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )


def _compare(before: Section, now: Section, prefix: str) -> Iterator[Difference]:
    names = {**type(before).model_fields, **type(now).model_fields}
    for name, field in names.items():
        old, new = before.__dict__.get(name), now.__dict__.get(name)
        if isinstance(old, Section) and isinstance(new, Section):
            yield from _compare(old, new, f"{prefix}{name}.")
        elif old != new:
            yield Difference(f"{prefix}{name}", old, new, resume_class(field))
