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
from trm_cli.paths import is_file

from ..csv_rows import csv_rows
from ..hub import find_hub_dataset
from ..limits import Limits
from ..source_files import source_path
from . import engine

Mazes = tuple[NDArray[np.uint8], NDArray[np.uint8]]
_TOKENS = {character: token for token, character in enumerate(engine.CHARSET, start=1)}


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
    """Read `hub:REPO`, or a directory with train.csv and test.csv; the first `train` and `test` rows. DatasetError."""
    if text.startswith("hub:"):
        hub = find_hub_dataset(text.removeprefix("hub:"))
        rows = {split: _hub_rows(hub.columns(split, columns), f"{hub.repo} {split}") for split in ("train", "test")}
        description: dict[str, object] = {"kind": "hub", "repo": hub.repo, "revision": hub.revision}
        licence = hub.licence
    else:
        folder = source_path(text)
        files = {split: folder / f"{split}.csv" for split in ("train", "test")}
        missing = [str(path) for path in files.values() if not is_file(path)]
        if missing:
            raise DatasetError(
                f"{' and '.join(missing)} not found", hint="--source is generate, a directory or hub:REPO"
            )
        rows = {split: _csv_rows(path, columns) for split, path in files.items()}
        description = {"kind": "csv", "files": {split: sha256_file(path) for split, path in files.items()}}
        licence = "as the source states"
    limits = Limits()
    side, held_out = _read_split(limits.take("test mazes", rows["test"], test), None, text)
    _, learnt = _read_split(rows["train"], side, text)
    forbidden = engine.class_hashes(held_out[0])
    kept = np.flatnonzero(~np.isin(engine.class_hashes(learnt[0]), forbidden))
    dropped = len(learnt[0]) - len(kept)
    limits.note("train mazes", len(kept[:train]), len(kept) - len(kept[:train]))
    kept = kept[:train]
    for name, found, wanted in (("train", len(kept), train), ("test", len(held_out[0]), test)):
        if found < (wanted or 1):
            raise DatasetError(f"{text} holds {found} usable {name} mazes, asked for {wanted or 'some'}")
    return SourceMazes(side, (learnt[0][kept], learnt[1][kept]), held_out, dropped, limits, description, licence)


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
    if len(text) != side * side or side < 2:
        raise DatasetError(f"{where} has {len(text)} characters, expected {side * side} ({side}x{side})")
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
