"""Which symmetries and colours of its tasks a stream dataset has identifiers for, and others that are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trm_cli.data import counter_rng, dihedral
from trm_cli.data.arc import transforms
from trm_cli.data.arc.identifiers import IDENTIFIERS_NAME
from trm_cli.data.arc.transforms import Transform
from trm_cli.data.files.array_file import read_array
from trm_cli.data.files.json_file import read_json
from trm_cli.data.stream.storage.plan import AUGMENTATIONS_NAME
from trm_cli.errors import REBUILD, DatasetError


class View(NamedTuple):
    """How a task is shown to a network. identifier: of the row of the puzzle table that has learned this; 0: none."""

    shown: Transform
    identifier: int

    @property
    def undone(self) -> Transform:
        """What undoes it: colours and symmetry do not depend on each other."""
        return Transform(dihedral.INVERSE[self.shown.symmetry], tuple(np.argsort(self.shown.permutation).tolist()))


class Learned(NamedTuple):
    """The identifiers of a task: `first`, of the plain task, and those after it. codes: their transforms."""

    first: int
    codes: NDArray[np.uint32]


#: Of a task that no dataset holds.
UNKNOWN = Learned(0, np.zeros(1, np.uint32))


def learned_tasks(root: Path) -> Mapping[str, Learned]:
    """The tasks of a stream dataset by name. Raises DatasetError."""
    names = read_json(root / IDENTIFIERS_NAME)
    path = root / AUGMENTATIONS_NAME
    codes = read_array(path, 2).astype(np.uint32) if path.is_file() else np.zeros((len(names) - 1, 1), np.uint32)
    if not isinstance(names, list) or len(names) - 1 != codes.size:
        raise DatasetError(f"{path} is not of the tasks in {IDENTIFIERS_NAME} beside it", hint=REBUILD)
    first = range(1, len(names), codes.shape[1])
    return {names[number]: Learned(number, own) for number, own in zip(first, codes, strict=True)}


def view(learned: Learned, number: int, task: int = 0) -> View:
    """View `number` of a task: the plain one, then those that were learned, then others: the symmetries in turn, each
    with colours that are drawn for the task's place."""
    if number < len(learned.codes) and (number == 0 or learned.codes[number] > 0):
        return View(_transform(learned.codes[number]), learned.first + number if learned.first else 0)
    return View(Transform(number % dihedral.COUNT, _drawn_colours(task, number)), 0)


def _drawn_colours(task: int, number: int) -> tuple[int, ...]:
    codes = counter_rng.integers(0, "adapt/votes", (np.array([task]), np.array([number])), transforms.CODES)
    return _transform(np.uint32(codes[0])).permutation


def _transform(code: np.uint32) -> Transform:
    symmetries, permutations = transforms.decode(np.array([code]))
    return Transform(int(symmetries[0]), tuple(map(int, permutations[0])))
