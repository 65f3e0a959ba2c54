"""List the checkpoints of a run, without loading any of them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint.checkpoint_io import ShardList, read_summary, stored_bytes, verify_checkpoint
from trm_cli.training.checkpoint.store import CheckpointStore


@dataclass(frozen=True)
class Entry:
    """One checkpoint. problem: why it cannot be used, None where no fault is known.

    bytes: of all its files. parts: how many shards. foreign: it is valid, but of another run.
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


def inventory(store: CheckpointStore, *, verified: bool) -> list[Entry]:
    """Every checkpoint of a run, oldest first. verified: read every byte, instead of only the summary at the end.

    A run that trains meanwhile may delete some: those are left out.
    """
    entries = []
    for step in store.steps():
        with suppress(FileNotFoundError):
            entries.append(_entry(store, step, verified=verified))
    return entries


def _entry(store: CheckpointStore, step: int, *, verified: bool) -> Entry:
    """Describe one checkpoint. Raises FileNotFoundError where it is gone."""
    path = store.path(step)
    problem, foreign, parts = None, False, 1
    try:
        summary = verify_checkpoint(path) if verified else read_summary(path)
        foreign = store.run is not None and summary.get("run") != store.run
        listed = ShardList.from_summary(summary, path)
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
