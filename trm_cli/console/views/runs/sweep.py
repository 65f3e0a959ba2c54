"""The screens of a sweep: what its trials would do, and what they have reached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table

from trm_cli.console.tables import counted, number, table
from trm_cli.units import duration, memory_size
from trm_cli.workflows.sweep.queues import in_words

if TYPE_CHECKING:
    from trm_cli.workflows.sweep.definition import SweepFile
    from trm_cli.workflows.sweep.sweep import PlannedTrial, TrialResult


def plans_screen(sweep: SweepFile, planned: Sequence[PlannedTrial], jobs: int) -> Group:
    """A row for each trial, and their sum."""
    rows = [
        (
            one.trial.name,
            in_words(one.trial.settings),
            f"{one.plan.total_steps:,}",
            "?" if one.forecast is None else duration(one.forecast.duration.likely),
            "?" if one.memory is None else memory_size(one.memory),
        )
        for one in planned
    ]
    seconds, memory = _sums(planned, jobs)
    chosen = "Optuna chooses as it goes: these stand for its trials. " if sweep.method == "optuna" else ""
    time = "time unknown until the dataset is built" if seconds is None else (
        f"about {duration(seconds)} one after the other"
    )  # fmt: skip
    needs = "" if memory is None else f", {memory_size(memory)} with {jobs} at a time"
    total = f"{chosen}{counted(len(planned), 'trial')} in {sweep.checkpoint_path}: {time}{needs}"
    return Group(table("trial", "settings", "updates", "time", "memory", right=(2, 3, 4), rows=rows), "", total)


def plans_document(sweep: SweepFile, planned: Sequence[PlannedTrial], jobs: int) -> dict[str, Any]:
    """The same as plain data, with the plan of each trial."""
    seconds, memory = _sums(planned, jobs)
    return {
        "directory": sweep.checkpoint_path,
        "seconds": seconds,
        "memory_bytes": memory,
        "trials": [
            {
                "name": one.trial.name,
                "settings": dict(one.trial.settings),
                "plan": one.plan.to_json(),
                "forecast": None if one.forecast is None else one.forecast.to_json(),
            }
            for one in planned
        ],
    }


def results_screen(sweep: SweepFile, found: Sequence[TrialResult], best: TrialResult | None) -> Table:
    """A row for each trial; the best is marked."""
    rows = [
        (
            f"{'*' if one is best else ' '} {one.trial.name}",
            in_words(one.trial.settings),
            "" if one.best is None else number(round(one.best, 6)),
            f"{one.step:,} of {one.total_steps:,}" if one.total_steps else "",
            one.state,
        )
        for one in found
    ]
    return table("  trial", "settings", f"best {sweep.objective}", "updates", "", right=(2, 3), rows=rows)


def results_document(sweep: SweepFile, found: Sequence[TrialResult], best: TrialResult | None) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "directory": sweep.checkpoint_path,
        "objective": sweep.objective,
        "best": None if best is None else best.trial.name,
        "trials": [
            {
                "name": one.trial.name,
                "settings": dict(one.trial.settings),
                "best": one.best,
                "step": one.step,
                "total_steps": one.total_steps,
                "state": one.state,
            }
            for one in found
        ],
    }


def _sums(planned: Sequence[PlannedTrial], jobs: int) -> tuple[float | None, int | None]:
    """Seconds of all trials, and bytes of the largest ones that run together."""
    times = [one.forecast.duration.likely for one in planned if one.forecast is not None]
    sizes = sorted((one.memory for one in planned if one.memory is not None), reverse=True)
    whole = len(times) == len(planned)
    return (sum(times) if whole else None), (sum(sizes[:jobs]) if len(sizes) == len(planned) else None)
