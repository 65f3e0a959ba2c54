"""What lies in a run directory, without loading any of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint.checkpoint_file import read_summary, stored_bytes, verify_checkpoint
from trm_cli.training.checkpoint.shards import Parts
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.run.run_directory import RunDirectory


@dataclass(frozen=True)
class Entry:
    """One checkpoint. problem: why it cannot be used, None where nothing is known against it.

    bytes: with all of its parts. foreign: it is whole, but of another run.
    """

    file: str
    step: int
    bytes: int
    parts: int
    latest: bool
    best: bool
    verified: bool
    problem: str | None
    foreign: bool

    def to_json(self) -> dict[str, Any]:
        """The fields, by name."""
        return asdict(self)


def inventory(directory: Path, *, verified: bool) -> list[Entry]:
    """Every checkpoint of a run, oldest first. verified: read every byte, instead of only the summary at the end.

    A run that trains meanwhile may delete some: those are left out. Raises CheckpointError where the directory does not
    say whose checkpoints it holds.
    """
    store = RunDirectory(directory).store()
    entries = []
    for step in store.steps():
        with suppress(FileNotFoundError):
            entries.append(_entry(store, step, verified=verified))
    return entries


def _entry(store: CheckpointStore, step: int, *, verified: bool) -> Entry:
    """One of them. Raises FileNotFoundError where it is gone."""
    path = store.path(step)
    problem, foreign, parts = None, False, 1
    try:
        summary = verify_checkpoint(path) if verified else read_summary(path)
        foreign = store.run is not None and summary.get("run") != store.run
        listed = Parts.of(summary, path)
        parts = len(listed.sizes) if listed else 1
        store.require_own(path, step, summary)
    except CheckpointError as error:
        problem = error.message
    return Entry(
        file=path.name,
        step=step,
        bytes=stored_bytes(path),
        parts=parts,
        latest=step == store.latest_step(),
        best=step == store.best_step(),
        verified=verified and problem is None,
        problem=problem,
        foreign=foreign,
    )
