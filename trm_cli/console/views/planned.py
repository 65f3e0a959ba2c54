"""One plan or two beside each other, on a screen or as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from trm_cli.console.plots import SchedulePlot
from trm_cli.console.views.plan import PlanView, comparison_view, values_view
from trm_cli.schedule.comparison import compare

if TYPE_CHECKING:
    from trm_cli.workflows.planning import Planned


def show_planned(
    console: Console, planned: Planned, other: Planned | None, steps: Sequence[int], *, plot: bool
) -> None:
    """Print a plan, or how it differs from another; plot: with its curves; steps: with every value at these."""
    if other is not None:
        console.print(comparison_view(planned.plan, other.plan, (planned.title, other.title)))
    else:
        console.print(PlanView(planned.plan, title=planned.title, sources=planned.sources))
    if plot:
        for each in (planned, *([other] if other else [])):
            console.print()
            if other is not None:
                console.print(f"{each.title}\n", style="bold")
            console.print(SchedulePlot(each.plan.quantities, each.plan.total_steps))
    if steps:
        console.print()
        console.print(values_view(planned.plan, steps, console.width))


def plan_document(planned: Planned, steps: Sequence[int] = ()) -> dict[str, Any]:
    """The plan as run directories keep it, with what this command knows besides."""
    plan = planned.plan
    used = {segment.key for quantity in plan.quantities for segment in quantity.segments}
    document = plan.to_json() | {
        "name": planned.name,
        "sources": {key: planned.sources[key] for key in sorted(used) if key in planned.sources},
    }
    if steps:
        document["at"] = [{"step": step, "values": plan.record_at(step)} for step in steps]
    return document


def comparison_document(planned: Planned, other: Planned) -> dict[str, Any]:
    """Two plans and what differs."""
    rows = compare(planned.plan, other.plan)
    return {
        "differences": sum(row.differs for row in rows),
        "differ_in": list(dict.fromkeys(row.what for row in rows if row.differs)),
        "plans": [plan_document(planned), plan_document(other)],
    }
