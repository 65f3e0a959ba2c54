"""Puzzle arrays on disk: the layout of the original TRM and HRM code, written and read.

`{split}/dataset.json` and for each set name (only "all" in practice): inputs and labels [N, S], puzzle_identifiers
[puzzles], puzzle_indices [puzzles + 1] (offsets of examples), group_indices [groups + 1] (offsets of puzzles).
In the layout "tokens" (text) there is one array instead, tokens [N * S + 1]: every row is a puzzle of its own without
an identifier, and every label is the token after its input.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from trm_cli.data.files.array_file import IntArray, RowReader, TokenRows, read_array
from trm_cli.data.files.checked_files import CheckedFiles
from trm_cli.data.files.durable import atomic_file, write_atomically
from trm_cli.data.files.metadata import METADATA_NAME, TOKENS, DatasetMetadata
from trm_cli.errors import REBUILD, DatasetError


@dataclass(frozen=True)
class PuzzleArrays:
    """One set of one split, inputs and labels read by rows. Offsets are int64 whatever the files hold."""

    where: str
    inputs: RowReader | TokenRows  # [N, S]
    labels: RowReader | TokenRows  # [N, S]
    puzzle_identifiers: NDArray[np.int64]  # [puzzles]
    puzzle_indices: NDArray[np.int64]  # [puzzles + 1]
    group_indices: NDArray[np.int64]  # [groups + 1]

    @property
    def groups(self) -> int:
        """Return the number of groups."""
        return len(self.group_indices) - 1

    @property
    def puzzles(self) -> int:
        """Return the number of stored puzzles."""
        return len(self.puzzle_identifiers)


def array_path(root: str | Path, split: str, name: str, set_name: str = "all") -> Path:
    """Return where the array `name` ("inputs", "labels", ...) of a split lies."""
    return Path(root) / split / f"{set_name}__{name}.npy"


# ---------------------------------------------------------------- reading


def read_puzzle_arrays(root: str | Path, split: str, set_name: str, metadata: DatasetMetadata) -> PuzzleArrays:
    """Open one set of a split and check that its arrays fit each other and the metadata. Raises DatasetError."""
    if metadata.extra.get("layout") == TOKENS:
        return _token_arrays(root, split, set_name, metadata)

    def load(name: str) -> NDArray[np.int64]:
        return read_array(array_path(root, split, name, set_name), 1).astype(np.int64)

    inputs, labels = (RowReader(array_path(root, split, name, set_name), 2) for name in ("inputs", "labels"))
    identifiers = load("puzzle_identifiers")
    where = str(Path(root) / split)
    arrays = PuzzleArrays(
        where=where,
        inputs=inputs,
        labels=labels,
        puzzle_identifiers=identifiers,
        puzzle_indices=load("puzzle_indices"),
        group_indices=load("group_indices"),
    )
    if inputs.shape != labels.shape or inputs.shape[1] != metadata.seq_len:
        raise _mismatch(
            where, f"inputs {inputs.shape} and labels {labels.shape} must both be [N, seq_len={metadata.seq_len}]"
        )
    _check_offsets(arrays.puzzle_indices, arrays.puzzles, len(inputs), where, "puzzle_indices", "examples")
    _check_offsets(arrays.group_indices, None, arrays.puzzles, where, "group_indices", "puzzles")
    if len(identifiers) and not 0 <= identifiers.min() <= identifiers.max() < metadata.num_puzzle_identifiers:
        raise _mismatch(where, f"puzzle_identifiers must lie in [0, {metadata.num_puzzle_identifiers})")
    return arrays


def _token_arrays(root: str | Path, split: str, set_name: str, metadata: DatasetMetadata) -> PuzzleArrays:
    tokens = RowReader(array_path(root, split, TOKENS, set_name), 1)
    inputs, labels = (TokenRows(tokens, metadata.seq_len, shift) for shift in (0, 1))
    count = np.arange(len(inputs) + 1)
    return PuzzleArrays(str(Path(root) / split), inputs, labels, np.zeros(len(inputs), np.int64), count, count)


def check_tokens(arrays: PuzzleArrays, *, tokens: int, ignored: Collection[int]) -> None:
    """Raise DatasetError unless inputs lie in [0, tokens), and labels too or in `ignored`. Large files: once."""
    for name, rows, apart in (("inputs", arrays.inputs, ()), ("labels", arrays.labels, ignored)):
        if name == "labels" and rows.path == arrays.inputs.path:
            continue
        checked = CheckedFiles(rows.path.parent)
        claim = f"tokens below {tokens} or in {sorted(apart)}"
        if checked.has_passed(rows.path.name, claim):
            continue
        for block in rows.blocks():
            low, high = _range(block, apart) if block.size else (0, 0)
            if low < 0 or high >= tokens:
                raise DatasetError(
                    f"{arrays.where}: {name} holds {low}..{high}, the vocabulary has {tokens} tokens", hint=REBUILD
                )
        checked.remember(rows.path.name, claim)


def _range(values: IntArray, apart: Collection[int]) -> tuple[int, int]:
    """The least and the greatest of some values, those in `apart` left out."""
    low, high = int(values.min()), int(values.max())
    if low in apart or high in apart:
        others = values[~np.isin(values, list(apart))]
        low, high = (int(others.min()), int(others.max())) if others.size else (0, 0)
    return low, high


def _check_offsets(offsets: IntArray, count: int | None, end: int, where: str, name: str, of_what: str) -> None:
    if len(offsets) < 2 or (count is not None and len(offsets) != count + 1):
        raise _mismatch(where, f"{name} has {len(offsets)} entries, expected one more than there are puzzles or groups")
    # Strictly increasing: an empty puzzle could never be drawn and would stall an epoch made of such.
    if offsets[0] != 0 or offsets[-1] != end or np.any(np.diff(offsets) <= 0):
        raise _mismatch(where, f"{name} must rise from 0 to the {end} {of_what} without a repeat")


def _mismatch(where: str, what: str) -> DatasetError:
    return DatasetError(f"{where}: the arrays do not fit together: {what}", hint=REBUILD)


# ---------------------------------------------------------------- writing


def npy_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Return the header of a .npy file; the rows follow."""
    header = io.BytesIO()
    description = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, description)
    return header.getvalue()


class NpyWriter:
    """Receives rows of an array whose final shape is known from the start."""

    def __init__(self, stream: BinaryIO, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._stream = stream
        self._shape = shape
        self._dtype = np.dtype(dtype)
        self.rows = 0
        stream.write(npy_header(shape, self._dtype))

    def append(self, rows: NDArray[np.generic]) -> None:
        """Write rows [n, ...]."""
        if rows.shape[1:] != self._shape[1:]:
            raise ValueError(f"rows of shape {rows.shape[1:]} do not fit into an array of shape {self._shape}")
        self._stream.write(np.ascontiguousarray(rows, dtype=self._dtype).tobytes())
        self.rows += len(rows)


@contextmanager
def npy_writer(path: str | Path, shape: tuple[int, ...], dtype: DTypeLike) -> Iterator[NpyWriter]:
    """Write a .npy file row by row, without holding it in memory; it appears under its name when it is complete."""
    with atomic_file(path) as stream:
        writer = NpyWriter(stream, shape, dtype)
        yield writer
        if writer.rows != shape[0]:
            raise ValueError(f"{path}: {writer.rows} rows were written where {shape[0]} were announced")


def write_npy(path: str | Path, array: NDArray[np.generic]) -> None:
    """Write one array atomically; the bytes depend on dtype, shape and values only."""
    with npy_writer(path, array.shape, array.dtype) as writer:
        writer.append(array)


def one_example_each(groups: int, puzzles_per_group: int = 1) -> dict[str, NDArray[np.generic]]:
    """Return the index arrays of a split whose puzzles have one example and the blank identifier each."""
    puzzles = groups * puzzles_per_group
    return {
        "puzzle_identifiers": np.zeros(puzzles, np.int32),
        "puzzle_indices": np.arange(puzzles + 1, dtype=np.int32),
        "group_indices": np.arange(0, puzzles + 1, puzzles_per_group, dtype=np.int32),
    }


def write_split(
    root: str | Path,
    split: str,
    metadata: DatasetMetadata,
    arrays: Mapping[str, NDArray[np.generic]],
    *,
    written: Sequence[str] = (),
) -> list[str]:
    """Write one split and return the names of its files relative to root, for the manifest.

    `arrays` are keyed "inputs", "labels", "puzzle_identifiers", "puzzle_indices", "group_indices" and whatever else
    the builder keeps; `written` names arrays that were already written with `npy_writer`. The original code wants the
    last three as int32. `dataset.json` is written last: a directory that has it has the arrays.
    """
    directory = Path(root) / split
    directory.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        write_npy(array_path(root, split, name), array)
    write_atomically(directory / METADATA_NAME, metadata.to_bytes())
    return [f"{split}/all__{name}.npy" for name in (*written, *arrays)] + [f"{split}/{METADATA_NAME}"]
