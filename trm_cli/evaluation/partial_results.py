"""Store the partial results of an evaluation, one file a batch, so that it can be continued.

A folder holds one file a batch; a file is there whole or not at all, and one that cannot be read is made again. The
folder's name is a digest of everything that the numbers depend on, so that other settings never read these files.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.files.durable import atomic_file, claimed_directory
from trm_cli.data.files.regular_file import open_regular
from trm_cli.errors import TrmError, free_space

Columns = dict[str, NDArray[Any]]


def read_columns(path: Path) -> Columns | None:
    """Read the arrays of a .npz file by their names; None where there is none, or what is there is no such file."""
    try:
        with open_regular(path) as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception:  # noqa: BLE001  # a damaged archive raises what it likes
        return None


def digest(facts: Mapping[str, Any]) -> str:
    """Compute a digest of JSON-able facts: sixteen hexadecimal digits."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class PartialResult:
    """The folder with the partial results of an evaluation."""

    path: Path

    def held(self) -> AbstractContextManager[None]:
        """Lock the folder for this process. Raises TrmError when another process holds it, or on a disk that fails."""
        return claimed_directory(
            self.path,
            "the same evaluation is being run",
            error=TrmError,
            busy_hint="wait for it to end, or stop it: this one then continues where it stopped",
            disk_hint="name another folder with --out",
        )

    def read(self, batch: int) -> Columns | None:
        """Read the columns of a batch; None where there are none yet."""
        return read_columns(self._file(batch))  # one that is damaged costs a batch

    def write(self, batch: int, columns: Columns) -> None:
        """Write the columns of a batch durably. Raises TrmError where the disk fails."""
        try:
            with atomic_file(self._file(batch)) as stream:
                np.savez_compressed(stream, **columns)  # type: ignore[arg-type]
        except OSError as error:
            raise TrmError(
                f"{self._file(batch)} cannot be written: {error.strerror}",
                hint=f"{free_space(error)}name another folder with --out: what is scored stays where it is",
            ) from error

    def discard(self) -> None:
        """Remove the folder: the evaluation is finished and its result is written."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _file(self, batch: int) -> Path:
        return self.path / f"batch-{batch:06d}.npz"
