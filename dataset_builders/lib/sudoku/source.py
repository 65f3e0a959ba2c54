"""Read Sudoku puzzles from CSV files or the hub: question, answer, and often a rating.

Questions and answers are N*N characters: 1-9 then A-G for digits, one of `. 0 _ ? * - x` for a blank. Every answer is
checked against the rules and its question. Training puzzles that are symmetries of a chosen test puzzle are left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trm_cli.data import counter_rng
from trm_cli.data.files.durable import sha256_file
from trm_cli.data.puzzles.sudoku_text import BLANKS, OTHER_BLANKS
from trm_cli.errors import DatasetError
from trm_cli.paths import is_dir, is_file

from ..csv_rows import csv_rows, split_tables
from ..held_out import is_test_class
from ..hub import HubDataset, find_hub_dataset
from ..limits import Limits
from ..source_files import source_path
from . import engine
from .generate import Puzzles, first_distinct
from .settings import NO_LIMIT, SudokuSettings

Block = Mapping[str, list[Any]]
Where = Callable[[int], str]  # the name of a row of a block, for messages
_BLOCK_ROWS = 65_536
_DIGITS = "123456789ABCDEFG"
_BAD = 255


@dataclass(frozen=True)
class SudokuSource:
    """Where puzzles come from: files by split (one file under "both" is divided by symmetry class), or the hub."""

    files: Mapping[str, Path]
    hub: HubDataset | None
    licence: str
    columns: Mapping[str, str]  # the files' names of columns, where they are not known

    def describe(self) -> dict[str, object]:
        """Return the manifest's entry of the source: the content of the files, not their paths."""
        if self.hub is not None:
            return {"kind": "hub", "repo": self.hub.repo, "revision": self.hub.revision}
        return {"kind": "csv", "files": {split: sha256_file(path) for split, path in self.files.items()}}

    def splits(self) -> tuple[str, ...]:
        """Return the names to read: ("both",) or ("train", "test")."""
        return tuple(self.files) if self.hub is None else ("train", "test")

    def blocks(self, split: str) -> Iterator[tuple[Where, Block]]:
        """Yield (names of rows, columns) of the blocks of one split."""
        if self.hub is None:
            yield from _csv_blocks(self.files[split], self.columns)
            return
        for number, block in enumerate(self.hub.columns(split, self.columns)):
            yield _names(f"{self.hub.repo} {split}, row ", number * _BLOCK_ROWS + 1), block


def find_source(text: str, columns: Mapping[str, str]) -> SudokuSource:
    """Find what --source names. Raises DatasetError."""
    if text.startswith("hub:"):
        hub = find_hub_dataset(text.removeprefix("hub:"))
        return SudokuSource({}, hub, hub.licence, columns)
    path = source_path(text)
    if is_dir(path):
        files = split_tables(path)
    elif is_file(path):
        files = {"both": path}
    else:
        raise DatasetError(
            f"{path} does not exist",
            hint="name a CSV or JSON file, a directory with train.csv and test.csv, hub:REPO, or generate",
        )
    return SudokuSource(files, None, "as the source states", columns)


def read_source(source: SudokuSource, settings: SudokuSettings, limits: Limits) -> tuple[Puzzles, Puzzles]:
    """Return the training and the test puzzles, and note what is left. Raises DatasetError for a damaged or too small
    source.
    """
    board = engine.make_board(*settings.box)
    read = {split: _read_split(source, split, board, settings, limits) for split in source.splits()}
    reasons = {split: [limits.counted()] for split in ("train", "test")}  # why puzzles are missing in a split
    if "both" in read:
        everything = read["both"]
        for_test = is_test_class(_hashes(board, everything))
        train, test = everything.take(np.flatnonzero(~for_test)), everything.take(np.flatnonzero(for_test))
        reasons["train"].append(f"held out for the test split: {len(test.ratings):,}")
        reasons["test"].append(f"used for the train split: {len(train.ratings):,}")
    else:
        train, test = read["train"], read["test"]
    available = len(test.ratings)
    test = test.take(_choose(available, settings.test, settings.seed, "test"))
    limits.note("test puzzles", len(test.ratings), available - len(test.ratings))
    forbidden = np.unique(_hashes(board, test))
    order = _choose(len(train.ratings), None if settings.train is None else len(train.ratings), settings.seed, "train")
    kept = order[~np.isin(_hashes(board, train.take(order)), forbidden)]
    limits.count("training puzzles left out: symmetries of a test puzzle", len(order) - len(kept))
    first = first_distinct(train.puzzles[kept], len(kept))
    repeats = "left out: repeats of another" if settings.unique else "repeat another (--unique leaves them out)"
    limits.count(f"training puzzles {repeats}", len(kept) - len(first))
    kept = kept[first] if settings.unique else kept
    train = train.take(kept if settings.train is None else kept[: settings.train])
    limits.note("train puzzles", len(train.ratings), len(kept) - len(train.ratings))
    reasons["train"][0] = limits.counted()
    for name, data, wanted in (("train", train, settings.train), ("test", test, settings.test)):
        if len(data.ratings) < max(1, wanted or 0):
            left_out = "; ".join(filter(None, reasons[name]))
            raise DatasetError(
                f"{settings.source} holds {len(data.ratings)} usable {name} puzzles, asked for {wanted or 'some'}"
                + (f" ({left_out})" if left_out else ""),
                hint="ask for fewer, or widen the difficulty" if wanted else "other puzzles are needed",
            )
    return train, test


def _choose(available: int, wanted: int | None, seed: int, split: str) -> NDArray[np.int64]:
    """Return all rows in their order, or `wanted` rows in a random order."""
    if wanted is None:
        return np.arange(available)
    return counter_rng.permutation(seed, f"builder/sudoku/choose/{split}", available)[:wanted]


def _hashes(board: engine.Board, data: Puzzles) -> NDArray[np.uint64]:
    return np.asarray(engine.class_hashes(board, data.puzzles, data.solutions), dtype=np.uint64)


def _read_split(
    source: SudokuSource, split: str, board: engine.Board, settings: SudokuSettings, limits: Limits
) -> Puzzles:
    found = []
    low, high = settings.difficulty
    for where, block in source.blocks(split):
        puzzles = _digits(block["question"], board.side, where, "question", blanks=True)
        solutions = _digits(block["answer"], board.side, where, "answer", blanks=False)
        _check_answers(board, puzzles, solutions, where)
        ratings = _ratings(board, block, puzzles, where)
        whole = np.rint(ratings).astype(np.int32)
        limits.count("ratings rounded to whole numbers", int(np.count_nonzero(whole != ratings)))
        inside = np.flatnonzero((ratings >= low) & (ratings <= high))
        limits.count("puzzles left out by --min-difficulty and --max-difficulty", len(ratings) - len(inside))
        found.append(Puzzles(puzzles, solutions, whole).take(inside))
    if not found:
        raise DatasetError(f"{source.files.get(split, settings.source)} holds no puzzles")
    return Puzzles(*(np.concatenate(values) for values in zip(*found, strict=True)))


def _digits(texts: list[str], side: int, where: Where, column: str, *, blanks: bool) -> NDArray[np.uint8]:
    """Turn texts of N*N characters into digits [n, N*N]."""
    cells = side * side
    for index, text in enumerate(texts):
        if len(text) != cells:
            raise DatasetError(
                f"{where(index)}: {column} has {len(text)} characters, a {side}x{side} board {cells}",
                hint=_length_hint(text, cells),
            )
    table = np.full(256, _BAD, np.uint8)
    for value, character in enumerate(_DIGITS[:side], start=1):
        table[[ord(character), ord(character.lower())]] = value
    if blanks:
        table[[ord(character) for character in BLANKS + OTHER_BLANKS]] = 0
    joined = "".join(texts).encode("ascii", "replace")
    digits = table[np.frombuffer(joined, np.uint8)].reshape(-1, cells)
    bad = np.flatnonzero((digits == _BAD).any(axis=1))
    if len(bad):
        raise DatasetError(f"{where(int(bad[0]))}: {column} {texts[bad[0]]!r} is not a {side}x{side} board")
    return digits


def _length_hint(text: str, cells: int) -> str | None:
    """What may be the matter with a board of another length."""
    box = round(len(text) ** 0.25)
    if box > 1 and box**4 == len(text):
        return f"`--box {box} {box}` reads boards of {len(text)} cells"
    if len(text) < cells and re.fullmatch(r"\d+|\d([.,]\d+)?[eE]\+?\d+", text):
        return "a spreadsheet that takes a board for a number drops its leading zeros: keep the column as text"
    return None


def _check_answers(board: engine.Board, puzzles: NDArray[np.uint8], solutions: NDArray[np.uint8], where: Where) -> None:
    bits = np.int64(1) << (solutions.astype(np.int64) - 1)
    full = (1 << board.side) - 1
    wrong = ((puzzles != 0) & (puzzles != solutions)).any(axis=1)
    for members in board.members:
        wrong |= np.bitwise_or.reduce(bits[:, members], axis=1) != full
    if wrong.any():
        raise DatasetError(f"{where(int(np.flatnonzero(wrong)[0]))}: the answer does not solve the question")


def _ratings(board: engine.Board, block: Block, puzzles: NDArray[np.uint8], where: Where) -> NDArray[np.float64]:
    """Return the rating column, or the solver's guesses where the source has none."""
    if "rating" not in block:
        return np.array([engine.solve(board, puzzle)[1] for puzzle in puzzles], dtype=np.float64)
    ratings = []
    for index, value in enumerate(block["rating"]):
        try:
            ratings.append(float(_with_point(value)))
        except (TypeError, ValueError):
            ratings.append(math.nan)
        if not abs(ratings[-1]) < NO_LIMIT:
            raise DatasetError(f"{where(index)}: the rating {value!r} is not a number")
    return np.array(ratings, dtype=np.float64)


def _with_point(value: Any) -> Any:
    """A number as text with a decimal comma, as Excel writes it in half of Europe, with a point."""
    return value.replace(",", ".") if isinstance(value, str) and value.count(",") == 1 and "." not in value else value


def _csv_blocks(path: Path, columns: Mapping[str, str]) -> Iterator[tuple[Where, Block]]:
    """Yield blocks of lines that follow each other."""
    rows: list[dict[str, str]] = []
    first = 0
    for line, row in csv_rows(path, columns):
        if rows and (len(rows) == _BLOCK_ROWS or line != first + len(rows)):
            yield _names(f"{path}:", first), _columns(rows)
            rows = []
        if not rows:
            first = line
        rows.append(row)
    if rows:
        yield _names(f"{path}:", first), _columns(rows)


def _names(before: str, first: int) -> Where:
    return lambda index: f"{before}{first + index}"


def _columns(rows: list[dict[str, str]]) -> Block:
    return {name: [row[name] for row in rows] for name in rows[0]}
