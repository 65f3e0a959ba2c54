"""The checkpoints of a run as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from trm_cli.console.tables import facts, table
from trm_cli.units import disk_size

if TYPE_CHECKING:
    from trm_cli.training.checkpoint.consolidation import Consolidated
    from trm_cli.training.checkpoint.inventory import Entry
    from trm_cli.training.checkpoint.retention import Decision
    from trm_cli.training.transfer.exporting import Exported
    from trm_cli.training.transfer.importing import Imported


def checkpoint_table(directory: Path, entries: Sequence[Entry]) -> Group:
    """One row a file: step, size, what points at it, and its state."""
    if not entries:
        return Group(Text(f"{directory} has no checkpoint yet"))
    rows = table("file", "step", "size", "is", "state", right=(1, 2))
    for entry in entries:
        names = [name for name, true in (("latest", entry.latest), ("best", entry.best)) if true]
        names += [f"{entry.parts} shards"] * (entry.parts > 1)
        state = (
            "of another run"
            if entry.foreign
            else "damaged"
            if entry.problem
            else "valid"
            if entry.verified
            else "not verified"
        )
        size = disk_size(entry.bytes)
        rows.add_row(entry.file, f"{entry.step:,}", size, ", ".join(names), Text(state, "red" if entry.problem else ""))
    problems = [Text(entry.problem, "red") for entry in entries if entry.problem]
    return Group(Text(str(directory), "bold"), rows, *problems)


def imported_view(done: Imported) -> Group:
    """What was imported, and the next commands."""
    rows = facts()
    names = "of the original code" if done.original_names else "of trm"
    rows.add_row("weights", f"{done.weights} tensors, names {names}, for {done.architecture}")
    if done.table_rows:
        new = done.table_rows - done.known_rows
        parts = [f"{done.known_rows:,} of {done.table_rows:,} rows matched"]
        parts += [f"{new:,} initialised with the mean"] * bool(new)
        parts += [f"{done.unused_rows:,} of the file's rows unused"] * bool(done.unused_rows)
        rows.add_row("puzzle table", "; ".join(parts))
    rows.add_row("dataset", done.dataset)
    rows.add_row("run", done.run)
    return Group(rows, Text(f"\nNext: trm solve {done.run} PUZZLE, or trm resume {done.run} to train it further"))


def exported_view(done: Exported) -> Group:
    """What was exported."""
    rows = facts()
    kind = {"ema": "averaged weights", "raw": "raw weights"}[done.weights]
    rows.add_row("from", f"{done.checkpoint}, step {done.step:,}, {kind}")
    rows.add_row("to", f"{done.file}, {done.format}, {done.tensors} tensors, {disk_size(done.bytes)}")
    return Group(rows)


def consolidated_view(done: Consolidated) -> Group:
    """What was consolidated."""
    made = f"assembled from {done.parts} shards" if done.parts > 1 else "a single file already"
    return Group(Text(f"{done.file}: step {done.step:,}, {made}, {disk_size(done.bytes)}"))


def prune_table(directory: Path, decisions: Sequence[Decision], *, dry_run: bool) -> Group:
    """One row a file: kept or deleted, and why."""
    if not decisions:
        return Group(Text(f"{directory} has no checkpoint yet"))
    gone = "would be deleted" if dry_run else "deleted"
    rows = table("file", "step", "size", "", "why", right=(1, 2))
    for one in decisions:
        fate = Text("kept") if one.keep else Text(gone, "yellow")
        rows.add_row(one.file, f"{one.step:,}", disk_size(one.bytes), fate, one.reason)
    going = [one for one in decisions if not one.keep]
    size = disk_size(sum(one.bytes for one in going))
    return Group(Text(str(directory), "bold"), rows, Text(f"{len(going)} {gone}, {size}"))
