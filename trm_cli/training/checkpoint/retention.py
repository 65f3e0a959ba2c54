"""Decide which checkpoints of a run are kept, and delete the others: on request, or because the disk is full."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from trm_cli.data.files.durable import sync_directory
from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint.checkpoint_io import delete_checkpoint, verify_checkpoint
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
    among_newest = "the newest valid" if len(newest) == 1 else f"one of the newest {len(newest)}"
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
    gone = [decision for decision in decisions if not decision.keep]
    for decision in gone:
        path = store.path(decision.step)
        try:
            delete_checkpoint(path)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be deleted: {error.strerror or error}") from error
    return sum(decision.bytes for decision in gone)


def delete_oldest_spare(store: CheckpointStore, kept: Container[int]) -> int | None:
    """Delete the oldest spare checkpoint of a run, for a newer one; returns its step, None where there is none.

    Spare is what is older than the newest valid one and neither the best, nor a milestone, nor in `kept`, nor of
    another run. Raises OSError where the disk fails.
    """
    spare = [
        entry.step
        for entry in inventory(store, verified=False)
        if not (entry.best or entry.foreign or entry.step in kept or entry.step in store.milestones)
    ]
    newest = next((step for step in reversed(store.steps()) if _is_valid(store, step)), 0) if spare else 0
    for step in spare:
        if step < newest:
            delete_checkpoint(store.path(step))
            sync_directory(store.directory)
            return step
    return None


def _is_valid(store: CheckpointStore, step: int) -> bool:
    try:
        store.require_own(store.path(step), step, verify_checkpoint(store.path(step)))
    except CheckpointError:
        return False
    return True
