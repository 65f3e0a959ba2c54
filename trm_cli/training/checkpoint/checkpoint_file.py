"""One checkpoint: an ordinary file, or an index of parts that several processes wrote."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint import checksummed_file
from trm_cli.training.checkpoint.shards import Parts, folder_of, whole, with_parts


def save_checkpoint(path: Path, state: dict[str, Any], summary: dict[str, Any]) -> None:
    """Write `state` to `path` as an ordinary checkpoint: see `digested_file.save_file`."""
    checksummed_file.save_file(path, state, summary)


def read_summary(path: Path) -> dict[str, Any]:
    """The summary of a checkpoint, without loading or verifying the rest.

    Raises CheckpointError when the file is not a whole checkpoint, or a part of it is missing or another one.
    """
    return _with_parts_checked(checksummed_file.read_summary(path), path, verified=False)


def verify_checkpoint(path: Path) -> dict[str, Any]:
    """Check every byte of a checkpoint and of its parts, and return its summary. Raises CheckpointError."""
    return _with_parts_checked(checksummed_file.verify_file(path), path, verified=True)


def load_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Verify a checkpoint, then load it onto the CPU, its parts put together: (state, summary).

    Raises CheckpointError.
    """
    state, summary = load_shared(path)
    return whole(with_parts(state, summary, path)), summary


def load_shared(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Verify all of a checkpoint and load its file alone: (state, summary); `with_parts` adds the parts to the state.

    Raises CheckpointError.
    """
    state, summary = checksummed_file.load_file(path)
    return state, _with_parts_checked(summary, path, verified=True)


def stored_bytes(path: Path) -> int:
    """What a checkpoint takes on disk."""
    folder = folder_of(path)
    parts = folder.iterdir() if folder.is_dir() else ()
    return sum(file.stat().st_size for file in (path, *parts))


def delete_checkpoint(path: Path) -> None:
    """Delete a checkpoint: first the file that makes it one, then its parts. Raises OSError."""
    path.unlink(missing_ok=True)
    if folder_of(path).is_dir():
        shutil.rmtree(folder_of(path))


def _with_parts_checked(summary: dict[str, Any], path: Path, *, verified: bool) -> dict[str, Any]:
    if "part" in summary:
        raise CheckpointError(
            f"{path} is one part of a checkpoint of {summary.get('of')} processes",
            hint=f"name the checkpoint: {path.parent.with_suffix('.pt')}",
        )
    listed = Parts.of(summary, path)
    if listed is not None:
        listed.require(path, verified=verified)
    return summary
