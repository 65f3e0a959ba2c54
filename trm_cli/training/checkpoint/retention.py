"""Which checkpoints of a run may go: decided first, with a reason for each, then carried out."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint.checkpoint_file import delete_checkpoint
from trm_cli.training.checkpoint.inventory import Entry, inventory


@dataclass(frozen=True)
class Decision:
    """What becomes of one checkpoint file, and why. bytes: its size."""

    file: str
    step: int
    bytes: int
    keep: bool
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The fields, by name."""
        return asdict(self)


def decide(directory: Path, *, keep: int, milestones: Container[int]) -> list[Decision]:
    """Read every checkpoint of a run and decide, oldest first, whether it stays.

    The newest `keep` whole ones stay, what `latest.pt` and `best.pt` name, and the milestones. A damaged file is no use
    to anybody, but it goes only where a whole one is there. What belongs to another run is not ours to delete.
    Raises CheckpointError where there are files and none of them is whole.
    """
    entries = inventory(directory, verified=True)
    whole = [entry.step for entry in entries if entry.problem is None]
    if entries and not whole:
        raise CheckpointError(
            f"none of the {len(entries)} checkpoint files in {directory} is whole, so none is deleted",
            hint="`trm checkpoints verify` says what is wrong with each",
        )
    newest = whole[-keep:]
    return [_decide(entry, newest, milestones) for entry in entries]


def _decide(entry: Entry, newest: list[int], milestones: Container[int]) -> Decision:
    reasons = [
        reason
        for reason, holds in (
            ("best", entry.best),
            ("latest", entry.latest),
            ("the newest whole one" if len(newest) == 1 else f"one of the newest {len(newest)}", entry.step in newest),
            ("kept for good (keep_every)", entry.problem is None and entry.step in milestones),
            ("of another run", entry.foreign),
        )
        if holds
    ]
    reason = ", ".join(reasons) or ("damaged" if entry.problem else "older than those that are kept")
    return Decision(entry.file, entry.step, entry.bytes, bool(reasons), reason)


def prune_checkpoints(directory: Path, decisions: list[Decision]) -> int:
    """Delete what was decided on; returns the bytes that are free now. Raises CheckpointError where the disk fails."""
    freed = 0
    for decision in decisions:
        if decision.keep:
            continue
        path = directory / decision.file
        try:
            delete_checkpoint(path)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be deleted: {error.strerror or error}") from error
        freed += decision.bytes
    return freed
