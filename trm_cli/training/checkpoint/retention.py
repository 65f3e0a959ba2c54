"""Decide which checkpoints of a run are kept, with a reason for each, then delete the others."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint.checkpoint_io import delete_checkpoint
from trm_cli.training.checkpoint.inventory import inventory
from trm_cli.training.checkpoint.store import CheckpointStore


@dataclass(frozen=True)
class Decision:
    """Whether one checkpoint is kept, and why. bytes: its size."""

    file: str
    step: int
    bytes: int
    keep: bool
    reason: str


def decide(store: CheckpointStore, *, keep: int, milestones: Container[int]) -> list[Decision]:
    """Verify every checkpoint of a run and decide, oldest first, whether it is kept.

    The newest `keep` valid ones are kept, those that `latest.pt` and `best.pt` point at, the milestones, and whatever
    belongs to another run. A damaged file is deleted only where a valid one exists.
    Raises CheckpointError where there are files and none of them is valid.
    """
    entries = inventory(store, verified=True)
    valid = [entry.step for entry in entries if entry.problem is None]
    if entries and not valid:
        raise CheckpointError(
            f"no valid checkpoint among the {len(entries)} files in {store.directory}: nothing was deleted",
            hint="`trm checkpoints verify` shows the fault of each",
        )
    newest = valid[-keep:]
    among_newest = "the newest valid one" if len(newest) == 1 else f"one of the newest {len(newest)}"
    decisions = []
    for entry in entries:
        reasons = {
            "best": entry.best,
            "latest": entry.latest,
            among_newest: entry.step in newest,
            "kept for good (keep_every)": entry.problem is None and entry.step in milestones,
            "of another run": entry.foreign,
        }
        kept = ", ".join(reason for reason, holds in reasons.items() if holds)
        otherwise = "damaged" if entry.problem else "older than those that are kept"
        decisions.append(Decision(entry.file, entry.step, entry.bytes, bool(kept), kept or otherwise))
    return decisions


def prune_checkpoints(store: CheckpointStore, decisions: list[Decision]) -> int:
    """Delete what is not kept; returns the bytes freed. Raises CheckpointError where the disk fails."""
    freed = 0
    for decision in decisions:
        if decision.keep:
            continue
        path = store.path(decision.step)
        try:
            delete_checkpoint(path)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be deleted: {error.strerror or error}") from error
        freed += decision.bytes
    return freed
