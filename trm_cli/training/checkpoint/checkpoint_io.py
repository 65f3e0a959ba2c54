"""Read, verify and delete one checkpoint: a single file, or an index file with shards that several processes wrote.

The file of the step is the index: an ordinary file with what all processes have in common and, in the place of each
sharded tensor, its shape. Its summary lists the shards, which lie in a folder beside it, one a process, each with its
size and its SHA-256. So the index is covered by its own checksum and covers all else; renaming it into its place
commits all shards at once. Names of shards are new at each save: nothing that an index lists is ever written again.

This is not torch.distributed.checkpoint: its `.metadata` is an unrestricted pickle, which runs code when it is read.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint.checkpoint_format import (
    damaged,
    load_file,
    map_file,
    read_checksum,
    read_file_summary,
    verify_file,
)
from trm_cli.training.checkpoint.exported_weights import exported_summary, is_exported, load_exported
from trm_cli.training.checkpoint.pointers import follow
from trm_cli.training.distributed.tensor_shards import TensorShards


def read_summary(path: Path) -> dict[str, Any]:
    """Read the summary of a checkpoint, without loading or verifying the rest.

    Raises CheckpointError for a file that is not a complete checkpoint, and for a shard that is missing or another one.
    """
    if is_exported(path):
        return exported_summary(path)
    return _with_shards_checked(read_file_summary(path), path, verified=False)


def verify_checkpoint(path: Path) -> dict[str, Any]:
    """Check every byte of a checkpoint and of its shards, and return its summary. Raises CheckpointError."""
    if is_exported(path):
        return load_exported(path)[1]
    return _with_shards_checked(verify_file(path), path, verified=True)


def load_checkpoint(path: Path, *, assembled: bool = True) -> tuple[dict[str, Any], dict[str, Any]]:
    """Verify all of a checkpoint, then load it onto the CPU: (state, summary).

    assembled: with the tensors of its shards, where it has some; otherwise `with_shards` adds them to the state.
    Raises CheckpointError.
    """
    if is_exported(path):
        return load_exported(path)
    state, summary = load_file(path)
    _with_shards_checked(summary, path, verified=True)
    if assembled and "parts" in summary:
        from torch.utils._pytree import tree_map_only

        state = tree_map_only(TensorShards, lambda shards: shards[:], with_shards(state, summary, path))
    return state, summary


def with_shards(state: dict[str, Any], summary: dict[str, Any], index: Path) -> dict[str, Any]:
    """The state of an index with `TensorShards` in the place of shapes; that of a single file as it is.

    The shards are taken as verified; raises CheckpointError for missing ones, or where they do not fit together.
    """
    listed = ShardList.from_summary(summary, index)
    if listed is None:
        return state
    listed.require(index, verified=False)
    try:
        return _merged(state, [map_file(path) for path in listed.paths(index)])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(index, f"its shards do not fit together: {error}") from error


def stored_bytes(path: Path) -> int:
    """The size of a checkpoint on disk, shards included."""
    folder = shard_folder(path)
    shards = folder.iterdir() if folder.is_dir() else ()
    return sum(file.lstat().st_size for file in (path, *shards))


def delete_checkpoint(path: Path) -> None:
    """Delete a checkpoint: first the file that makes it one, then its shards. Raises OSError."""
    path.unlink(missing_ok=True)
    if shard_folder(path).is_dir():
        shutil.rmtree(shard_folder(path))


@dataclass(frozen=True)
class ShardList:
    """The shards that an index lists. save: the prefix of their names; sizes (bytes) and checksums: by rank."""

    save: str
    sizes: tuple[int, ...]
    checksums: tuple[str, ...]

    @classmethod
    def from_summary(cls, summary: dict[str, Any], index: Path) -> ShardList | None:
        """Read it from the summary of an index; None for a checkpoint of one file. Raises CheckpointError."""
        listed = summary.get("parts")
        if listed is None:
            return None
        try:
            save, entries = listed["save"], [(size, checksum) for size, checksum in listed["files"]]
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(index, "its list of shards is not readable") from error
        sound = all(type(size) is int and isinstance(checksum, str) for size, checksum in entries)
        if not (sound and entries and isinstance(save, str) and save.isalnum()):
            raise damaged(index, "its list of shards is not readable")
        sizes, checksums = zip(*entries, strict=True)
        return cls(save, sizes, checksums)

    def to_json(self) -> dict[str, Any]:
        """What `from_summary` reads under `parts`."""
        return {"save": self.save, "files": list(zip(self.sizes, self.checksums, strict=True))}

    def paths(self, index: Path) -> list[Path]:
        """The files, by rank."""
        return [shard_path(index, self.save, rank) for rank in range(len(self.sizes))]

    def require(self, index: Path, *, verified: bool) -> None:
        """Raise CheckpointError unless every shard is there and the one that the index lists.

        verified: read every byte, instead of only the checksum at the end.
        """
        for path, *expected in zip(self.paths(index), self.sizes, self.checksums, strict=True):
            if read_checksum(path) != tuple(expected):
                raise damaged(path, f"it is not the shard that {index.name} lists")
            if verified:
                verify_file(path)


def shard_folder(index: Path) -> Path:
    """The folder of the shards of a checkpoint."""
    return follow(index).with_suffix(".parts")


def shard_path(index: Path, save: str, rank: int) -> Path:
    """The file of the shard of one process."""
    return shard_folder(index) / f"{save}-{rank:05d}.pt"


def _with_shards_checked(summary: dict[str, Any], path: Path, *, verified: bool) -> dict[str, Any]:
    if "part" in summary:
        raise CheckpointError(
            f"{path} is one shard of a checkpoint of {summary.get('of')} processes",
            hint=f"name the checkpoint: {path.parent.with_suffix('.pt')}",
        )
    listed = ShardList.from_summary(summary, path)
    if listed is not None:
        listed.require(path, verified=verified)
    return summary


def _merged(shared: dict[str, Any], shards: list[dict[str, Any]]) -> dict[str, Any]:
    merged = dict(shared)
    for name in shards[0]:
        item, own = shared[name], [shard[name] for shard in shards]
        merged[name] = _merged(item, own) if isinstance(item, dict) else TensorShards(own, item)
    return merged
