"""Read mazes from CSV files or the hub: columns question and answer, N * N of the characters "# SGo".

Every row is checked: one start, one goal, and an answer that is the question with a path from one to the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.data.files.durable import sha256_file
from trm_cli.errors import DatasetError
from trm_cli.paths import is_dir, is_file

from ..csv_rows import csv_rows, split_tables
from ..held_out import is_test_class
from ..hub import find_hub_dataset
from ..limits import Limits
from ..source_files import source_path
from . import engine

Mazes = tuple[NDArray[np.uint8], NDArray[np.uint8]]
_TOKENS = {character: token for token, character in enumerate(engine.CHARSET, start=1)}
_FREE = str.maketrans("._", "  ")  # as `trm solve` reads them


@dataclass(frozen=True)
class SourceMazes:
    """Questions and answers [n, N * N] of both splits; `dropped` training mazes were symmetries of a test maze."""

    side: int
    train: Mazes
    test: Mazes
    dropped: int
    limits: Limits
    description: dict[str, object]
    licence: str


def read_source(text: str, train: int | None, test: int | None, columns: Mapping[str, str]) -> SourceMazes:
    """Read `hub:REPO`, a directory with train.csv and test.csv, or one table; the first `train` and `test` rows.

    Raises DatasetError.
    """
    if text.startswith("hub:"):
        hub = find_hub_dataset(text.removeprefix("hub:"))
        rows = {split: _hub_rows(hub.columns(split, columns), f"{hub.repo} {split}") for split in ("train", "test")}
        description: dict[str, object] = {"kind": "hub", "repo": hub.repo, "revision": hub.revision}
        licence = hub.licence
    else:
        files = _files(source_path(text))
        rows = {split: _csv_rows(path, columns) for split, path in files.items()}
        description = {"kind": "csv", "files": {split: sha256_file(path) for split, path in files.items()}}
        licence = "as the source states"
    limits = Limits()
    if "both" in rows:
        side, learnt, held_out = _divided(*_read_split(rows["both"], None, text))
        limits.note("test mazes", len(held_out[0][:test]), len(held_out[0][test:]) if test else 0)
        held_out = held_out[0][:test], held_out[1][:test]
    else:
        side, held_out = _read_split(limits.take("test mazes", rows["test"], test), None, text)
        _, learnt = _read_split(rows["train"], side, text)
    forbidden = engine.class_hashes(held_out[0])
    kept = np.flatnonzero(~np.isin(engine.class_hashes(learnt[0]), forbidden))
    dropped = len(learnt[0]) - len(kept)
    limits.note("train mazes", len(kept[:train]), len(kept) - len(kept[:train]))
    kept = kept[:train]
    for name, found, wanted in (("train", len(kept), train), ("test", len(held_out[0]), test)):
        if found < (wanted or 1):
            left_out = f" ({dropped} are symmetries of a test maze)" if name == "train" and dropped else ""
            raise DatasetError(f"{text} holds {found} usable {name} mazes, asked for {wanted or 'some'}{left_out}")
    return SourceMazes(side, (learnt[0][kept], learnt[1][kept]), held_out, dropped, limits, description, licence)


def _files(path: Path) -> dict[str, Path]:
    """The tables of both splits, or one table under "both". Raises DatasetError."""
    if is_dir(path):
        return split_tables(path)
    if is_file(path):
        return {"both": path}
    raise DatasetError(
        f"{path} does not exist",
        hint="name a CSV or JSON file, a directory with train.csv and test.csv, hub:REPO, or generate",
    )


def _divided(side: int, mazes: Mazes) -> tuple[int, Mazes, Mazes]:
    """Training and test mazes of one table: a quarter of the symmetry classes is held out."""
    for_test = is_test_class(engine.class_hashes(mazes[0]))
    return side, (mazes[0][~for_test], mazes[1][~for_test]), (mazes[0][for_test], mazes[1][for_test])


def _read_split(rows: Iterable[tuple[str, str, str]], side: int | None, text: str) -> tuple[int, Mazes]:
    questions, answers = [], []
    for where, question, answer in rows:
        side = side or isqrt(len(question))
        tokens = _tokens(question, side, f"{where}: question"), _tokens(answer, side, f"{where}: answer")
        _check(*tokens, side, where)
        questions.append(tokens[0])
        answers.append(tokens[1])
    if side is None or not questions:
        raise DatasetError(f"{text} holds no mazes")
    return side, (np.stack(questions), np.stack(answers))


def _tokens(text: str, side: int, where: str) -> NDArray[np.uint8]:
    text = text.translate(_FREE)
    if len(text) != side * side or side < 2:
        raise DatasetError(
            f"{where} has {len(text)} characters, expected {side * side} ({side}x{side})",
            hint="a space is a free cell: an editor may have cut spaces off; `.` is one as well",
        )
    wrong = sorted(set(text) - set(engine.CHARSET))
    if wrong:
        raise DatasetError(f"{where} holds {wrong[0]!r}, expected only {engine.CHARSET!r}")
    return np.array([_TOKENS[character] for character in text], dtype=np.uint8)


def _check(question: NDArray[np.uint8], answer: NDArray[np.uint8], side: int, where: str) -> None:
    for token in (engine.START, engine.GOAL):
        if np.count_nonzero(question == token) != 1:
            raise DatasetError(f"{where}: the question must have one {engine.CHARSET[token - 1]}")
    if (question == engine.PATH).any() or not np.array_equal(
        np.where(answer == engine.PATH, engine.FREE, answer), question
    ):
        raise DatasetError(f"{where}: the answer is not the question with a path in it")
    # A maze whose only free cells are the marked ones: start and goal must still meet in it.
    marked = np.where(
        answer == engine.FREE, np.uint8(engine.WALL), np.where(answer == engine.PATH, engine.FREE, answer)
    )
    if engine.shortest_path(marked.astype(np.uint8))[0] != np.count_nonzero(answer == engine.PATH) + 1:
        raise DatasetError(f"{where}: the marked cells are not a path from S to G ({side}x{side})")


def _csv_rows(path: Path, columns: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for line, row in csv_rows(path, columns, spaces_are_cells=True):
        yield f"{path}:{line}", row["question"], row["answer"]


def _hub_rows(blocks: Iterable[Mapping[str, list[Any]]], where: str) -> Iterator[tuple[str, str, str]]:
    number = 0
    for block in blocks:
        for question, answer in zip(block["question"], block["answer"], strict=True):
            number += 1
            yield f"{where}, row {number}", str(question), str(answer)
