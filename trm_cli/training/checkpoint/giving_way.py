"""Delete what a full disk can do without, so that a newer checkpoint of the run has room."""

from __future__ import annotations

from collections.abc import Container

from trm_cli.data.files.durable import sync_directory
from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint.checkpoint_io import delete_checkpoint, read_summary, verify_checkpoint
from trm_cli.training.checkpoint.store import CheckpointStore


def delete_oldest_spare(store: CheckpointStore, kept: Container[int]) -> int | None:
    """Delete the oldest spare checkpoint of a run; returns its step, None where there is none.

    Spare is what is older than the newest valid one and neither the best, nor a milestone, nor in `kept`, nor of
    another run. Raises OSError where the disk fails.
    """
    steps, best = store.steps(), store.best_step()
    spare = [step for step in steps[:-1] if step != best and step not in kept and step not in store.milestones]
    newest = next((step for step in reversed(steps) if _is_valid(store, step)), 0) if spare else 0
    for step in spare:
        if step < newest and not _is_foreign(store, step):
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


def _is_foreign(store: CheckpointStore, step: int) -> bool:
    try:
        return store.run is not None and read_summary(store.path(step)).get("run") != store.run
    except CheckpointError:
        return False  # damaged: nobody can use it
