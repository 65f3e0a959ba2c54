"""Read and write shard files: many records in eight tensors, the same bytes for the same records.

    kind uint8 [N]   source uint8 [N]   group int32 [N]   shape uint8 [N, 4]   ends uint8 [N]
    first int64 [1]  offsets int64 [N + 1]  payload uint8 [sum of lengths]

Opened with `weights_only=True, mmap=True`: no code is run, and only the pages of the records drawn are read.
"""

from __future__ import annotations

import io
import pickle
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from trm_cli.data.stream.records import Record
from trm_cli.errors import DatasetError

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
        """Return the native codes of a record, a view into the file."""
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


def to_bytes(arrays: Arrays) -> bytes:
    """Return the content of a shard file, a function of the records alone.

    Saved to memory first: `torch.save` writes a file's own name into it, and would write a whole storage for a view.
    """
    tensors = {name: torch.from_numpy(np.array(arrays[name], dtype=dtype)) for name, dtype in _DTYPES.items()}
    tensors[_CHECKSUM] = torch.tensor([_checksum(arrays)], dtype=torch.int64)
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()


def read_arrays(path: str | Path, *, check: bool = False) -> Arrays:
    """Open a shard file as arrays that are views into it; `check` reads it all and compares its checksum.

    Raises DatasetError for a file that is no whole shard.
    """
    try:
        tensors = torch.load(path, weights_only=True, mmap=True)
        arrays: Arrays = {name: tensors[name].numpy() for name in _DTYPES}
        known = all(array.dtype == _DTYPES[name] for name, array in arrays.items())
        whole = known and int(arrays["offsets"][-1]) == len(arrays["payload"])
        if not whole or (check and int(tensors[_CHECKSUM][0]) != _checksum(arrays)):
            raise DatasetError(
                f"{path} is damaged: its checksum does not match", hint="build the dataset with --rebuild"
            )
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path} is missing", hint="build the dataset again; it continues where it stopped"
        ) from error
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DatasetError(f"{path} is damaged: {reason}", hint="build the dataset again with --rebuild") from error
    return arrays


def read_shard(path: str | Path) -> RecordShard:
    """Open a shard file. Raises DatasetError."""
    return RecordShard(read_arrays(path))


def _checksum(arrays: Arrays) -> int:
    value = 0
    for name, dtype in _DTYPES.items():
        value = zlib.crc32(np.ascontiguousarray(arrays[name], dtype=dtype).tobytes(), value)
    return value
