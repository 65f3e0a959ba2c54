"""Read and write shard files: many records in eight tensors, the same bytes for the same records.

    kind uint8 [N]   source uint8 [N]   group int32 [N]   shape uint8 [N, 4]   ends uint8 [N]
    first int64 [1]  offsets int64 [N + 1]  payload uint8 [sum of lengths]

Opened with `weights_only=True`: no code is run. A file is read whole and checked before any of it is used, so that
what happens to it afterwards does not matter.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray

from trm_cli.data.arc.layout import COLOURS
from trm_cli.data.files.regular_file import open_regular
from trm_cli.data.stream.records import GRID, PICTURE, Record
from trm_cli.errors import REBUILD, DatasetError, first_line

_DTYPES = {
    "kind": np.uint8,
    "source": np.uint8,
    "group": np.int32,
    "shape": np.uint8,
    "ends": np.uint8,
    "first": np.int64,
    "offsets": np.int64,
    "payload": np.uint8,
}
_CHECKSUM = "checksum"

Arrays = dict[str, NDArray[np.generic]]


class RecordShard:
    """Records of one file; `shard[i]` is the i-th."""

    def __init__(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        self.kind = arrays["kind"]
        self.source = arrays["source"]
        self.group = arrays["group"]
        self.shape = arrays["shape"]
        self.ends = arrays["ends"]
        self.first = int(arrays["first"][0])
        self._offsets = arrays["offsets"]
        self._payload = arrays["payload"]

    def __len__(self) -> int:
        return len(self.kind)

    def payload(self, index: int) -> NDArray[np.uint8]:
        """Return the native codes of a record."""
        start, end = int(self._offsets[index]), int(self._offsets[index + 1])
        return self._payload[start:end].astype(np.uint8, copy=False)

    def lengths(self) -> NDArray[np.int64]:
        """Return the payload's length of every record: [N]."""
        offsets = self._offsets.astype(np.int64)
        return offsets[1:] - offsets[:-1]

    def __getitem__(self, index: int) -> Record:
        shape = self.shape[index]
        return Record(
            int(self.kind[index]),
            int(self.source[index]),
            int(self.group[index]),
            (int(shape[0]), int(shape[1]), int(shape[2]), int(shape[3])),
            bool(self.ends[index]),
            self.payload(index).tobytes(),
        )


def pack(records: Sequence[Record], first: int) -> Arrays:
    """Lay records out as arrays. `first` is the ordinal of the first of them in its split."""
    lengths = [len(record.payload) for record in records]
    return {
        "kind": np.array([record.kind for record in records], dtype=np.uint8),
        "source": np.array([record.source for record in records], dtype=np.uint8),
        "group": np.array([record.group for record in records], dtype=np.int32),
        "shape": np.array([record.shape for record in records], dtype=np.uint8).reshape(len(records), 4),
        "ends": np.array([record.ends for record in records], dtype=np.uint8),
        "first": np.array([first], dtype=np.int64),
        "offsets": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "payload": np.frombuffer(b"".join(record.payload for record in records), dtype=np.uint8),
    }


def join(parts: Sequence[Arrays]) -> Arrays:
    """Put the records of consecutive shards into one."""
    ends = np.cumsum([int(part["offsets"][-1]) for part in parts])
    shifted = [part["offsets"][1:] + start for part, start in zip(parts, [0, *ends[:-1]], strict=True)]
    whole: Arrays = {
        name: np.concatenate([part[name] for part in parts])
        for name in ("kind", "source", "group", "shape", "ends", "payload")
    }
    whole["first"] = parts[0]["first"]
    whole["offsets"] = np.concatenate([np.zeros(1, dtype=np.int64), *shifted]).astype(np.int64)
    return whole


def write_arrays(stream: IO[bytes], arrays: Arrays) -> None:
    """Write the content of a shard file, a function of the records alone.

    To an open file: `torch.save` writes the name of a file that it opens into it. O is for own data: of an array that
    is a view of another it would write the whole.
    """
    tensors = {
        name: torch.from_numpy(np.require(arrays[name], dtype, ["C", "W", "O"])) for name, dtype in _DTYPES.items()
    }
    tensors[_CHECKSUM] = torch.tensor([_checksum(arrays)], dtype=torch.int64)
    torch.save(tensors, stream)


def to_bytes(arrays: Arrays) -> bytes:
    """Return the content of a shard file."""
    buffer = io.BytesIO()
    write_arrays(buffer, arrays)
    return buffer.getvalue()


def read_arrays(path: str | Path, *, sha256: str | None = None) -> Arrays:
    """Read a shard file; where `sha256` is given its content must have it, else the checksum within must be right.

    Raises DatasetError for a file that is no whole shard.
    """
    try:
        with open_regular(path) as file:
            content = file.read()
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path} is missing", hint="build the dataset again; it continues where it stopped"
        ) from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}", hint=REBUILD) from error
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise DatasetError(f"{path} is damaged: its content is not what the manifest says", hint=REBUILD)
    try:
        tensors = torch.load(io.BytesIO(content), weights_only=True)
        arrays: Arrays = {name: tensors[name].numpy() for name in _DTYPES}
        stored = int(tensors[_CHECKSUM][0])
    except Exception as error:  # a damaged file goes through two parsers, which raise what they like
        reason = first_line(error) or type(error).__name__
        raise DatasetError(f"{path} is damaged: {reason}", hint=REBUILD) from error
    if wrong := _find_wrong(arrays):
        raise DatasetError(f"{path} is damaged: {wrong}", hint=REBUILD)
    if sha256 is None and stored != _checksum(arrays):
        raise DatasetError(f"{path} is damaged: its checksum does not match", hint=REBUILD)
    return arrays


def read_shard(path: str | Path, *, sha256: str | None = None) -> RecordShard:
    """Read a shard file. Raises DatasetError."""
    return RecordShard(read_arrays(path, sha256=sha256))


def _find_wrong(arrays: Arrays) -> str:
    """What makes arrays no records that can be drawn; empty where nothing does."""
    count = len(arrays["kind"]) if arrays["kind"].ndim == 1 else -1
    shapes = {"shape": (count, 4), "first": (1,), "offsets": (count + 1,), "payload": (arrays["payload"].size,)}
    for name, dtype in _DTYPES.items():
        if arrays[name].dtype != dtype or arrays[name].shape != shapes.get(name, (count,)):
            return f"{name} is {arrays[name].dtype} {arrays[name].shape}"
    kind, group, offsets = arrays["kind"], arrays["group"], arrays["offsets"].astype(np.int64)
    lengths = np.diff(offsets)
    if offsets[0] != 0 or offsets[-1] != arrays["payload"].size or lengths.min(initial=0) < 0:
        return "the offsets do not rise from 0 to the end"
    if kind.max(initial=0) > PICTURE or group.min(initial=0) < 0 or arrays["first"][0] < 0:
        return "a record of an unknown kind or place"
    sides = arrays["shape"].astype(np.int64)
    cells = sides[:, 0] * sides[:, 1]
    grids = kind == GRID
    if np.any(grids & ((cells + sides[:, 2] * sides[:, 3] != lengths) | (sides.min(axis=1, initial=1) < 1))):
        return "a grid of another size than its shape"
    if np.any((kind == PICTURE) & (3 * cells > lengths)):
        return "a picture of another size than its shape"
    if np.any(arrays["payload"][np.repeat(grids, lengths)] >= COLOURS):
        return f"a grid with a colour above {COLOURS - 1}"
    return ""


def _checksum(arrays: Arrays) -> int:
    value = 0
    for name, dtype in _DTYPES.items():
        value = zlib.crc32(np.ascontiguousarray(arrays[name], dtype=dtype).data, value)
    return value
