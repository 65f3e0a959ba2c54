"""Keep the tokens of a corpus on disk until its dataset may be written, so that memory does not grow with the corpus.

Standard library only.
"""

from __future__ import annotations

import tempfile
import weakref
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from trm_cli.data.files.metadata import SPLITS
from trm_cli.errors import DatasetError

_BLOCK_BYTES = 1 << 20


class TokenSpool:
    """Tokens of each split, one after the other in temporary files beside the dataset, and where each part begins.

    The files have no name: they are gone when the process ends, however it ends.
    """

    def __init__(self, root: Path, typecode: str) -> None:
        """root: the dataset's directory, which may not exist yet. typecode: of `array`, for one token."""
        self.typecode = typecode
        self._width = array(typecode).itemsize
        near = next(path for path in (root, *root.absolute().parents) if path.is_dir())
        try:
            self._files: Mapping[str, IO[bytes]] = {
                split: tempfile.TemporaryFile(dir=near, buffering=_BLOCK_BYTES)  # noqa: SIM115  # closed by the finalizer
                for split in SPLITS
            }
        except OSError as error:
            raise DatasetError(
                f"cannot write to {near}: {error.strerror}", hint="choose another --output-dir"
            ) from error
        for file in self._files.values():
            weakref.finalize(self, file.close)
        self._sizes = dict.fromkeys(SPLITS, 0)  # bytes
        self._parts = array("q")
        self._starts = {split: array("q") for split in SPLITS}

    def begin_part(self, number: int) -> None:
        """What is appended from here on belongs to part `number`."""
        self._parts.append(number)
        for split, starts in self._starts.items():
            starts.append(self._sizes[split])

    def append(self, split: str, tokens: bytes) -> None:
        """Append tokens, as bytes of the type."""
        self._files[split].write(tokens)
        self._sizes[split] += len(tokens)

    def tokens(self, split: str) -> int:
        """Return how many tokens a split has."""
        return self._sizes[split] // self._width

    def blocks(self, split: str) -> Iterator[bytes]:
        """Yield all tokens of a split, some at a time."""
        file = self._files[split]
        file.seek(0)
        while block := file.read(_BLOCK_BYTES):
            yield block
        file.seek(0, 2)

    def parts(self) -> Iterator[tuple[int, dict[str, bytes]]]:
        """Yield the number and the tokens by split of each part."""
        for place, number in enumerate(self._parts):
            found = {}
            for split, starts in self._starts.items():
                end = starts[place + 1] if place + 1 < len(starts) else self._sizes[split]
                self._files[split].seek(starts[place])
                found[split] = self._files[split].read(end - starts[place])
            yield number, found
