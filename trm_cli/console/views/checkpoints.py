"""Show the checkpoints of a run, and what was pruned, moved or converted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from trm_cli.console.tables import facts, table
from trm_cli.paths import from_here
from trm_cli.shell import command_line
from trm_cli.units import disk_size

if TYPE_CHECKING:
    from trm_cli.training.checkpoint.consolidation import Consolidated
    from trm_cli.training.checkpoint.inventory import Entry
    from trm_cli.training.checkpoint.retention import Decision
    from trm_cli.training.transfer.exporting import Exported
    from trm_cli.workflows.import_weights import Imported
    from trm_cli.workflows.publish.hub import Pulled, Pushed


def checkpoint_table(directory: Path, entries: Sequence[Entry]) -> Group:
    """Show one row for each checkpoint: step, size, what points at it, and its state."""
    if not entries:
        return Group(Text(f"{directory} has no checkpoint yet"))
    shown = [
        (entry.file, f"{entry.step:,}", disk_size(entry.bytes), _names(entry), Text(*_state(entry)))
        for entry in entries
    ]
    problems = [Text(entry.problem, "red") for entry in entries if entry.problem]
    listed = table("file", "step", "size", "is", "state", right=(1, 2), rows=shown)
    return Group(Text(str(directory), "bold"), listed, *problems)


def _names(entry: Entry) -> str:
    names = {"latest": entry.latest, "best": entry.best, f"{entry.parts} shards": entry.parts > 1}
    return ", ".join(name for name, true in names.items() if true)


def _state(entry: Entry) -> tuple[str, str]:
    """The state of a checkpoint, and its style."""
    style = "red" if entry.problem else ""
    if entry.foreign or entry.problem:
        return ("of another run" if entry.foreign else "damaged"), style
    return ("valid" if entry.verified else "not verified"), style


def imported_view(done: Imported) -> Group:
    """Show what was imported, and the next commands."""
    names = "of the original code" if done.original_names else "of trm"
    rows = [("weights", f"{done.weights} tensors, names {names}, for {done.architecture}")]
    if done.table_rows:
        new = done.table_rows - done.known_rows
        parts = [f"{done.known_rows:,} of {done.table_rows:,} rows matched"]
        parts += [f"{new:,} initialised with the mean"] * bool(new)
        parts += [f"{done.unused_rows:,} of the file's rows unused"] * bool(done.unused_rows)
        rows.append(("puzzle table", "; ".join(parts)))
    rows += [("dataset", done.dataset), ("run", done.run)]
    solve, resume = (command_line("trm", command, done.run) for command in ("solve", "resume"))
    return Group(facts(rows), Text(f"\nNext: {solve} PUZZLE, or {resume} to train it further"))


def exported_view(done: Exported) -> Table:
    """Show what was exported."""
    kind = {"ema": "averaged weights", "raw": "raw weights"}[done.weights]
    return facts([
        ("from", f"{from_here(Path(done.checkpoint))}, step {done.step:,}, {kind}"),
        ("to", f"{done.file}, {done.format}, {done.tensors} tensors, {disk_size(done.bytes)}"),
    ])  # fmt: skip


def pushed_view(done: Pushed) -> Group:
    """Show what was pushed, and the line that uses it."""
    kind = {"ema": "averaged weights", "raw": "raw weights"}[done.weights]
    counted = f"with {done.evaluations:,} evaluations" if done.evaluations else "without any evaluation"
    rows = [
        ("model", f"{done.address}, step {done.step:,}, {kind}, {disk_size(done.bytes)}"),
        ("card", f"{counted}{'' if done.evaluations else ': `trm evaluate` first, then push again'}"),
    ]
    return Group(facts(rows), Text(f"\nUse it: {command_line('trm', 'solve', done.name)} PUZZLE"))


def pulled_view(done: Pulled) -> Group:
    """Show what was pulled, and the line that uses it."""
    rows = [("model", f"{done.model}, step {done.step:,}, {disk_size(done.bytes)}"), ("folder", done.folder)]
    return Group(facts(rows), Text(f"\nUse it: {command_line('trm', 'solve', done.folder)} PUZZLE"))


def consolidated_view(done: Consolidated) -> Text:
    """Show what was consolidated."""
    made = f"assembled from {done.parts} shards" if done.parts > 1 else "a single file already"
    return Text(f"{done.file}: step {done.step:,}, {made}, {disk_size(done.bytes)}")


def prune_table(directory: Path, decisions: Sequence[Decision], *, dry_run: bool) -> Group:
    """Show one row for each checkpoint: kept or deleted, and why."""
    if not decisions:
        return Group(Text(f"{directory} has no checkpoint yet"))
    gone = "would be deleted" if dry_run else "deleted"
    kept, deleted = Text("kept"), Text(gone, "yellow")
    shown = [
        (one.file, f"{one.step:,}", disk_size(one.bytes), kept if one.keep else deleted, one.reason)
        for one in decisions
    ]
    listed = table("file", "step", "size", "", "why", right=(1, 2), rows=shown)
    sizes = [one.bytes for one in decisions if not one.keep]
    return Group(Text(str(directory), "bold"), listed, Text(f"{len(sizes)} {gone}, {disk_size(sum(sizes))}"))
