"""Read new ARC tasks as they are handed out: a challenges file, a folder of one JSON a task, or one task.

One damaged task costs that task alone: its place in the submission stays, and `faults` says what is wrong with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trm_cli.data.arc.encoding import Grid
from trm_cli.data.arc.forms import task_records
from trm_cli.data.arc.layout import SIDE
from trm_cli.data.arc.task import grid_in
from trm_cli.data.files.json_file import read_json
from trm_cli.errors import DatasetError, UsageError
from trm_cli.paths import is_dir, is_file

#: Demonstrations of a task that can spare one.
_FEWEST_LEFT_OUT_OF = 3
_CHALLENGES, _SOLUTIONS = "_challenges.json", "_solutions.json"


@dataclass(frozen=True)
class Challenge:
    """A task: readable demonstrations, and a place for each test input, None where it cannot be read; grids [H, W].

    outputs: of the test inputs, where they are known; they are for scoring alone. faults: what cannot be read.
    """

    name: str
    demonstrations: tuple[tuple[Grid, Grid], ...]
    inputs: tuple[Grid | None, ...]
    outputs: tuple[Grid | None, ...]
    faults: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether there is something to learn from and something to answer."""
        return bool(self.demonstrations) and any(grid is not None for grid in self.inputs)

    def to_json(self, *, leave_out: bool = False) -> dict[str, Any]:
        """What is learned from: demonstrations and test inputs, without what cannot be read.

        leave_out: the last demonstration is one more test input, whose output is known.
        """
        shown = [{"input": given.tolist(), "output": wanted.tolist()} for given, wanted in self.demonstrations]
        learned = shown[:-1] if leave_out else shown
        asked = [{"input": grid.tolist()} for grid in self.inputs if grid is not None]
        return {"train": learned, "test": [*asked, *shown[len(learned) :]]}


@dataclass(frozen=True)
class Challenges:
    """The tasks of a file or folder, in its order. name: short, for a run. digest: of all that was read."""

    name: str
    digest: str
    tasks: tuple[Challenge, ...]

    @property
    def usable(self) -> tuple[Challenge, ...]:
        """The tasks that can be learned and answered."""
        return tuple(task for task in self.tasks if task.usable)

    def to_json(self, *, leave_out: int = 0) -> dict[str, Any]:
        """The usable tasks in the form of a challenges file; of so many of them one demonstration is not learned."""
        able = [task.name for task in self.usable if len(task.demonstrations) >= _FEWEST_LEFT_OUT_OF]
        spared = able[:leave_out]
        return {task.name: task.to_json(leave_out=task.name in spared) for task in self.usable}


def read_challenges(path: Path, side: int = SIDE) -> Challenges:
    """Read all tasks of a file or a folder; a grid that is larger than `side` by `side` cannot be read.

    Raises DatasetError where there is no task at all.
    """
    if is_dir(path):
        documents = {file.stem: _document(file) for file in sorted(path.glob("*.json")) if is_file(file)}
        documents = {name: _unwrapped(found, name) for name, found in documents.items()}
        documents = {name: found for name, found in documents.items() if not _is_answers(found)}
    else:
        found = read_json(path, hint="TASKS is a challenges file, a folder of one JSON a task, or one task")
        if _is_task(found):
            documents = {path.stem: found}
        elif list((documents := task_records(found, path.stem)).values()) == [found]:
            documents = found if isinstance(found, dict) else {}  # none of the forms: the fault of single tasks
    if not documents:
        challenges = sorted(path.glob(f"*{_CHALLENGES}")) if is_dir(path) else []
        hint = 'a task is {"train": [...], "test": [{"input": [[0]]}]}'
        raise DatasetError(f"{path} holds no ARC task", hint=f"name one file: {challenges[0]}" if challenges else hint)
    solutions = _solutions(path)
    tasks = tuple(_challenge(name, document, solutions.get(name), side) for name, document in documents.items())
    text = json.dumps([path.name, list(documents.items())], default=str)
    return Challenges(_short_name(path), hashlib.sha256(text.encode()).hexdigest(), tasks)


def _short_name(path: Path) -> str:
    name = path.resolve().name.removesuffix(".json").removesuffix("_challenges")
    return "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in name)[:60] or "tasks"


def _document(path: Path) -> Any:
    try:
        return read_json(path)
    except DatasetError as error:
        return error.message  # no task: the fault of this one


def _unwrapped(document: Any, name: str) -> Any:
    """The only task of a list, or below a key such as "task"; anything else as it is."""
    records = list(task_records(document, name).values())
    return records[0] if len(records) == 1 else document


def _is_task(document: Any) -> bool:
    return isinstance(document, dict) and isinstance(document.get("test"), list)


def _is_answers(document: Any) -> bool:
    """Whether a file of a folder is no task but a file about many, such as a submission."""
    return isinstance(document, dict) and not document.keys() & {"train", "test"} and len(document) > 0


def _solutions(path: Path) -> Mapping[str, Any]:
    """The known outputs beside a challenges file; empty where there are none."""
    beside = path.with_name(path.name.removesuffix(_CHALLENGES) + _SOLUTIONS)
    if not path.name.endswith(_CHALLENGES) or not is_file(beside):
        return {}
    found = _document(beside)
    return found if isinstance(found, dict) else {}


def _challenge(name: str, document: Any, solutions: Any, side: int) -> Challenge:
    faults: list[str] = []
    if not isinstance(document, dict):
        faults.append(document if isinstance(document, str) else "is no object with `train` and `test`")
        document = {}
    shown = _pairs(document, "train", faults)
    asked = _pairs(document, "test", faults)
    demonstrations = []
    for number, pair in enumerate(shown, 1):
        given = _grid(pair, "input", f"train {number}", faults, side)
        wanted = None if given is None else _grid(pair, "output", f"train {number}", faults, side)
        if given is not None and wanted is not None:
            demonstrations.append((given, wanted))
    inputs = [_grid(pair, "input", f"test {number}", faults, side) for number, pair in enumerate(asked, 1)]
    outputs = [_output(pair, solutions, place) for place, pair in enumerate(asked)]
    # A task without a list of tests has one test input in every published file but a few.
    return Challenge(name, tuple(demonstrations), tuple(inputs or [None]), tuple(outputs or [None]), tuple(faults))


def _pairs(document: Mapping[str, Any], part: str, faults: list[str]) -> list[Any]:
    pairs = document.get(part)
    if isinstance(pairs, list) and pairs:
        return pairs
    faults.append(f"has no list `{part}`")
    return []


def _grid(pair: Any, part: str, where: str, faults: list[str], side: int = SIDE) -> Grid | None:
    try:
        return grid_in(pair, part, where, side)
    except UsageError as error:
        faults.append(error.message)
        return None


def _output(pair: Any, solutions: Any, place: int) -> Grid | None:
    if isinstance(pair, dict) and pair.get("output") is not None:
        return _grid(pair, "output", "", [])
    if isinstance(solutions, list) and place < len(solutions):
        return _grid({"output": solutions[place]}, "output", "", [])
    return None
