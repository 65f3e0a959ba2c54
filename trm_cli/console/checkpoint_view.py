"""The checkpoints of a run as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from trm_cli.console.tables import table

if TYPE_CHECKING:
    from trm_cli.training.inventory import Entry


def checkpoint_table(directory: Path, entries: Sequence[Entry]) -> Group:
    """One row a file: step, size, what points at it, and its state."""
    if not entries:
        return Group(Text(f"{directory} has no checkpoint yet"))
    rows = table("file", "step", "size", "is", "state", right=(1, 2))
    for entry in entries:
        names = [name for name, true in (("latest", entry.latest), ("best", entry.best)) if true]
        state = "damaged" if entry.problem else "whole" if entry.verified else "not verified"
        size = f"{entry.bytes / 1e6:,.1f} MB"
        rows.add_row(entry.file, f"{entry.step:,}", size, ", ".join(names), Text(state, "red" if entry.problem else ""))
    problems = [Text(entry.problem, "red") for entry in entries if entry.problem]
    return Group(Text(str(directory), "bold"), rows, *problems)
