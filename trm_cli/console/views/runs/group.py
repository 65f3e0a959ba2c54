"""Show the accuracy of runs that differ by their seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from trm_cli.console.tables import table
from trm_cli.console.views.runs.evaluation import percent, share_range


def group_screen(summary: Mapping[str, Any]) -> Table:
    """A row for each seed, and the mean with both intervals. summary: of `summarise_group`."""
    rows = [(name, percent(value), "", "") for name, value in summary["exact"].items()]
    for name, key in (("Student's t", "t_interval"), ("bootstrap", "bootstrap_interval")):
        if summary[key] is not None:
            low, high = summary[key]
            rows.append((f"mean of {summary['seeds']}", percent(summary["mean"]), share_range(low, high), name))
    return table("run", "exact", "95 %", "", right=(1, 2), rows=rows)
