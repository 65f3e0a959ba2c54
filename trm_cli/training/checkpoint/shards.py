"""The parts of a checkpoint that several processes wrote together: how they are named, checked and put together.

The file of the step is the index: an ordinary file with what all processes have in common and, in the place of each
tensor that is in parts, its shape. Its summary lists the parts, which lie in a folder beside it, one a process, each
with its size and its digest. So the index is covered by its own digest and covers all else; renaming it into its place
commits all parts at once. Names of parts are new at each save: nothing that an index lists is ever written again.

This is not torch.distributed.checkpoint: its `.metadata` is an unrestricted pickle, which runs code when it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.training.checkpoint.checksummed_file import damaged, map_file, read_digest, verify_file

if TYPE_CHECKING:
    from torch import Size, Tensor, dtype

#: Of the 65,535 bytes of a summary each part takes up to 88, and the configuration of the run takes what is left.
MOST_PARTS = 512


@dataclass(frozen=True)
class Parts:
    """What an index says of its parts. save: how the names of one save begin; sizes (bytes) and digests: by rank."""

    save: str
    sizes: tuple[int, ...]
    digests: tuple[str, ...]

    @classmethod
    def of(cls, summary: dict[str, Any], index: Path) -> Parts | None:
        """Those of an index, None for an ordinary checkpoint. Raises CheckpointError."""
        listed = summary.get("parts")
        if listed is None:
            return None
        try:
            save, entries = str(listed["save"]), [(int(size), str(digest)) for size, digest in listed["files"]]
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(index, "its list of parts is not readable") from error
        if not entries or not save.isalnum():
            raise damaged(index, "its list of parts is not readable")
        sizes, digests = zip(*entries, strict=True)
        return cls(save, sizes, digests)

    def to_json(self) -> dict[str, Any]:
        """What `of` reads."""
        return {"save": self.save, "files": list(zip(self.sizes, self.digests, strict=True))}

    def paths(self, index: Path) -> list[Path]:
        """The files, by rank."""
        return [part_path(index, self.save, rank) for rank in range(len(self.sizes))]

    def require(self, index: Path, *, verified: bool) -> None:
        """Raise CheckpointError unless every part is there and the one that the index lists.

        verified: read every byte, instead of only the digest at the end.
        """
        for path, *expected in zip(self.paths(index), self.sizes, self.digests, strict=True):
            if read_digest(path) != tuple(expected):
                raise damaged(path, f"it is not the part that {index.name} lists")
            if verified:
                verify_file(path)


def folder_of(index: Path) -> Path:
    """Where the parts of a checkpoint lie."""
    return index.resolve().with_suffix(".parts")


def part_path(index: Path, save: str, rank: int) -> Path:
    """The part of one process."""
    return folder_of(index) / f"{save}-{rank:05d}.pt"


class Pieces:
    """A tensor [N, ...] in pieces along its first dimension; rows are read from the files as they are asked for."""

    def __init__(self, pieces: Sequence[Tensor], shape: Sequence[int]) -> None:
        """Raises ValueError for pieces that do not make a tensor of this shape."""
        rest = {(tuple(piece.shape[1:]), piece.dtype) for piece in pieces}
        if rest != {(tuple(shape[1:]), pieces[0].dtype)} or sum(map(len, pieces)) != shape[0]:
            raise ValueError(f"{[list(piece.shape) for piece in pieces]} are not the pieces of {list(shape)}")
        self._pieces = pieces
        self._count = shape[0]

    @property
    def shape(self) -> Size:
        """The shape of the whole."""
        return type(self._pieces[0].shape)((self._count, *self._pieces[0].shape[1:]))

    @property
    def dtype(self) -> dtype:
        """The type of the whole."""
        return self._pieces[0].dtype

    def copy_to(self, target: Tensor) -> None:
        """Fill `target`, which has this shape, piece by piece."""
        start = 0
        for piece in self._pieces:
            target[start : start + len(piece)] = piece
            start += len(piece)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, rows: slice) -> Tensor:
        """Some of the rows, as a copy: the files may be deleted then."""
        import torch

        first, last, _ = rows.indices(self._count)
        found, start = [], 0
        for piece in self._pieces:
            found.append(piece[max(first - start, 0) : max(last - start, 0)])
            start += len(piece)
        return torch.cat(found)


def with_parts(state: dict[str, Any], summary: dict[str, Any], index: Path) -> dict[str, Any]:
    """The state of an index with `Pieces` in the place of shapes; that of an ordinary checkpoint as it is.

    The parts are taken as verified; raises CheckpointError for missing ones, or where they do not fit together.
    """
    listed = Parts.of(summary, index)
    if listed is None:
        return state
    listed.require(index, verified=False)
    try:
        return _merged(state, [map_file(path) for path in listed.paths(index)])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(index, f"its parts do not fit together: {error}") from error


def whole(value: Any) -> Any:
    """A state with every `Pieces` put together."""
    if isinstance(value, Pieces):
        return value[:]
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    return value


def _merged(shared: dict[str, Any], parts: list[dict[str, Any]]) -> dict[str, Any]:
    merged = dict(shared)
    for name in parts[0]:
        item, own = shared[name], [part[name] for part in parts]
        merged[name] = _merged(item, own) if isinstance(item, dict) else Pieces(own, item)
    return merged
