"""Map ARC puzzle identifiers to tasks and their augmentations.

Two forms of `identifiers.json` are read. The published one is a list of names. Ours, for tasks stored once, is
{"format": "arc-tasks", "blank": "<blank>", "tasks": [{"id": .., "first": .., "count": ..}]}: a task owns the
identifiers first .. first + count - 1, and `augmentations.npy` holds the augmentation code of each: four bytes instead
of a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.arc import layout, transforms
from trm_cli.data.arc.layout import CODES_NAME
from trm_cli.data.files.array_file import read_array
from trm_cli.data.files.json_file import read_json
from trm_cli.errors import REBUILD, DatasetError

IDENTIFIERS_NAME = "identifiers.json"
TASKS_FORMAT = "arc-tasks"
BLANK_NAME = "<blank>"
NO_TASK = -1


@dataclass(frozen=True)
class ArcIdentifiers:
    """All identifiers of a dataset. `tasks` are ids of base tasks; owner NO_TASK is the blank identifier."""

    tasks: tuple[str, ...]
    owners: NDArray[np.int32]  # [identifiers] index into tasks
    codes: NDArray[np.uint32]  # [identifiers]

    def __len__(self) -> int:
        return len(self.codes)

    def name(self, identifier: int) -> str:
        """The published name of an identifier: `<id>`, `<id>|||t<k>|||<perm>` or `<blank>`."""
        owner = int(self.owners[identifier])
        if owner == NO_TASK:
            return BLANK_NAME
        if self.codes[identifier] == 0:
            return self.tasks[owner]
        symmetries, permutations = transforms.decode(self.codes[identifier : identifier + 1])
        augmentation = transforms.Transform(int(symmetries[0]), tuple(map(int, permutations[0])))
        return transforms.transform_name(self.tasks[owner], augmentation)

    def transforms(
        self, identifiers: NDArray[np.integer]
    ) -> tuple[NDArray[np.int32], NDArray[np.uint8], NDArray[np.uint8]]:
        """Task index [B], symmetry [B] and colour permutation [B, 10] of identifiers [B]."""
        return self.owners[identifiers], *transforms.decode(self.codes[identifiers])


def read_identifiers(root: str | Path) -> ArcIdentifiers:
    """Read `root/identifiers.json`, or the file itself where it is named, in either form. Raises DatasetError.

    Names of puzzles other than ARC's are kept as they are.
    """
    path = Path(root) / IDENTIFIERS_NAME if Path(root).is_dir() else Path(root)
    document = read_json(path, hint=REBUILD)
    try:
        if isinstance(document, list):
            return _from_names(document)
        if not isinstance(document, dict) or document.get("format") != TASKS_FORMAT:
            raise ValueError(f"expected a list of names or the format {TASKS_FORMAT!r}")
        return _from_tasks(document["tasks"], read_array(path.parent / CODES_NAME, 1))
    except (AttributeError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path} is damaged: {error}", hint=REBUILD) from error


def _from_tasks(entries: Sequence[dict[str, object]], codes: NDArray[np.integer]) -> ArcIdentifiers:
    owners = np.full(len(codes), NO_TASK, dtype=np.int32)
    names = []
    for index, entry in enumerate(entries):
        first, count = entry["first"], entry["count"]
        if not isinstance(first, int) or not isinstance(count, int) or not 0 < first <= first + count <= len(codes):
            raise ValueError(f"task {index} owns identifiers outside 1..{len(codes) - 1}")
        owners[first : first + count] = index
        names.append(str(entry["id"]))
    return ArcIdentifiers(tuple(names), owners, codes.astype(np.uint32))


def _from_names(names: Sequence[str]) -> ArcIdentifiers:
    tasks: dict[str, int] = {}
    owners = np.full(len(names), NO_TASK, dtype=np.int32)
    symmetries = np.zeros(len(names), dtype=np.uint8)
    permutations = np.tile(np.arange(layout.COLOURS, dtype=np.uint8), (len(names), 1))
    for index, name in enumerate(names):
        if name == BLANK_NAME:
            continue
        task_id, augmentation = transforms.parse_name(name)
        owners[index] = tasks.setdefault(task_id, len(tasks))
        symmetries[index], permutations[index] = augmentation.symmetry, augmentation.permutation
    return ArcIdentifiers(tuple(tasks), owners, transforms.encode(symmetries, permutations))
