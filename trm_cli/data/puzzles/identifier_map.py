"""Name each row of the puzzle embedding table, so that rows can be matched between datasets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.arc.identifiers import (
    BLANK_NAME,
    IDENTIFIERS_NAME,
    NO_TASK,
    TASKS_FORMAT,
    ArcIdentifiers,
    read_identifiers,
)
from trm_cli.data.files.json_file import read_json
from trm_cli.data.puzzles.kinds import KINDS
from trm_cli.errors import DatasetError


@dataclass(frozen=True, eq=False)
class IdentifierMap:
    """The identifiers 0 .. N - 1. names: of puzzles. owners int32 [N]: index into names, NO_TASK for the blank one.

    codes int64 [N]: which augmentation of that puzzle, 0 for the puzzle itself.
    """

    names: tuple[str, ...]
    owners: NDArray[np.int32]
    codes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.owners)

    @classmethod
    def of_tasks(cls, identifiers: ArcIdentifiers) -> IdentifierMap:
        """Those of a dataset whose identifiers are tasks and their augmentations."""
        return cls(identifiers.tasks, identifiers.owners, identifiers.codes.astype(np.int64))

    def rows_for(self, wanted: IdentifierMap) -> NDArray[np.int64]:
        """For each identifier of another map the first row here that stands for the same thing, or -1: int64 [M]."""
        number = {name: place for place, name in enumerate({*self.names, *wanted.names})}
        stride = 1 + int(max(self.codes.max(initial=0), wanted.codes.max(initial=0)))
        here, there = self._numbers(number, stride), wanted._numbers(number, stride)
        order = np.argsort(here, kind="stable")
        rows = order[np.minimum(np.searchsorted(here, there, sorter=order), len(here) - 1)]
        return np.where(here[rows] == there, rows, -1)

    def _numbers(self, number: dict[str, int], stride: int) -> NDArray[np.int64]:
        """One number [N] for each thing that a row may stand for; -1 for the blank one."""
        named = np.array([number[name] for name in self.names] + [0], dtype=np.int64)
        return np.where(self.owners == NO_TASK, -1, named[self.owners] * stride + self.codes)


def read_identifier_map(paths: Sequence[str], kind: str, count: int) -> IdentifierMap | None:
    """The identifiers of datasets that are read one after the other; None where their names are not known.

    kind: of the dataset; count: its identifiers, the blank one included. All share identifier 0, and those of each
    dataset follow those of the one before it, as in a batch.
    """
    try:
        maps = [_read(Path(path), kind) for path in paths]
    except (ValueError, DatasetError):
        return None  # a dataset of the original code may lack names, and training does not need them
    names: list[str] = []
    owners, codes = [np.array([NO_TASK], dtype=np.int32)], [np.zeros(1, dtype=np.int64)]
    for own in maps:
        owners.append(np.where(own.owners == NO_TASK, NO_TASK, own.owners + len(names))[1:].astype(np.int32))
        codes.append(own.codes[1:])
        names.extend(own.names)
    found = IdentifierMap(tuple(names), np.concatenate(owners), np.concatenate(codes))
    return found if len(found) == count else None


def _read(root: Path, kind: str) -> IdentifierMap:
    """Raises ValueError or DatasetError where the names are missing or not understood."""
    document = read_json(root / IDENTIFIERS_NAME)
    if (kind in KINDS and KINDS[kind].votes) or (isinstance(document, dict) and document.get("format") == TASKS_FORMAT):
        return IdentifierMap.of_tasks(read_identifiers(root))
    if not isinstance(document, list) or not all(isinstance(name, str) for name in document):
        raise ValueError("expected a list of names")
    owners = np.array([NO_TASK if name == BLANK_NAME else row for row, name in enumerate(document)], dtype=np.int32)
    return IdentifierMap(tuple(document), owners, np.zeros(len(document), dtype=np.int64))
