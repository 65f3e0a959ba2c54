"""Write shard files: many records in a few tensors, the same bytes for the same records; and read the parts of a build.

    header int64 [2]     ordinal of the first record in its split, bytes of a picture
    kind, source, flags  uint8 [N]     see `records.Record`
    text_length int16 [texts]          bytes of each text
    group int32, place int16, shape uint8 [grids, 4]
    label int16 [pictures]
    payload uint8        the records one after the other
    checksum int64 [1]   CRC-32 of the tensors above, in this order

`torch.load(path, weights_only=True)` gives the tensors; training reads them by position, see `shard_file`.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.stream.records import GRID, PICTURE, TEXT, Record
from trm_cli.data.stream.storage.shard_file import DTYPES, RecordShard, ShardFile
from trm_cli.errors import DatasetError

Arrays = Mapping[str, NDArray[np.generic]]


def pack(records: Sequence[Record], first: int, picture_bytes: int) -> Arrays:
    """Lay records out as arrays. `first` is the ordinal of the first of them in its split."""
    grids, texts, pictures = ([record for record in records if record.kind == kind] for kind in (GRID, TEXT, PICTURE))
    columns = {
        "header": [first, picture_bytes],
        "kind": [record.kind for record in records],
        "source": [record.source for record in records],
        "flags": [record.flags for record in records],
        "text_length": [len(record.payload) for record in texts],
        "group": [record.group for record in grids],
        "place": [record.place for record in grids],
        "shape": [record.shape for record in grids],
        "label": [record.label for record in pictures],
    }
    arrays = {name: np.array(values, dtype=DTYPES[name]) for name, values in columns.items()}
    arrays["shape"] = arrays["shape"].reshape(len(grids), 4)
    arrays["payload"] = np.frombuffer(b"".join(record.payload for record in records), dtype=np.uint8)
    return arrays


def join(parts: Sequence[Arrays]) -> Arrays:
    """Put the records of consecutive shards into one."""
    whole = {name: np.concatenate([part[name] for part in parts]) for name in DTYPES if name != "header"}
    return {"header": parts[0]["header"], **whole}


def write_arrays(stream: IO[bytes], arrays: Arrays) -> None:
    """Write the content of a shard file, a function of the records alone.

    To an open file: `torch.save` writes the name of a file that it opens into it. O is for own data: of an array that
    is a view of another it would write the whole.
    """
    import torch

    tensors = {
        name: torch.from_numpy(np.require(arrays[name], dtype, ["C", "W", "O"])) for name, dtype in DTYPES.items()
    }
    tensors["checksum"] = torch.tensor([_checksum(arrays)], dtype=torch.int64)
    torch.save(tensors, stream)


def to_bytes(arrays: Arrays) -> bytes:
    """Return the content of a shard file."""
    buffer = io.BytesIO()
    write_arrays(buffer, arrays)
    return buffer.getvalue()


def read_arrays(path: str | Path) -> Arrays:
    """Read a part of a build whole, and compare it with its checksum. Raises DatasetError for what is no shard."""
    with ShardFile(path) as file:
        arrays = {name: file.read_tensor(name) for name in DTYPES}
        RecordShard(file)
        if int(file.read_tensor("checksum")[0]) != _checksum(arrays):
            raise DatasetError(f"{path} is damaged: its checksum does not match")
    return arrays


def _checksum(arrays: Arrays) -> int:
    value = 0
    for name, dtype in DTYPES.items():
        value = zlib.crc32(np.ascontiguousarray(arrays[name], dtype=dtype).data, value)
    return value
