"""List the kinds of puzzle in one table: vocabulary, shape, symbols, augmentation, difficulty, parsing and voting.

A new kind is one entry here beside its builder. Nothing here needs numpy: `inspect-schedule` may ask.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from trm_cli.data.arc import layout
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.puzzles import maze_text, sudoku_text
from trm_cli.data.puzzles.families import Maze, Sudoku, TextFamily
from trm_cli.errors import DatasetError

if TYPE_CHECKING:
    from trm_cli.data.augmentation.drawing import Augmentation

Rgb = tuple[int, int, int]
_ANY_TOKEN = 2**31


@dataclass(frozen=True)
class Measure:
    """A measure of difficulty: the cells of a row in `column` whose token lies from `lowest` to `highest`."""

    column: Literal["inputs", "labels"]
    lowest: int
    highest: int = _ANY_TOKEN


@dataclass(frozen=True)
class PuzzleKind:
    """The properties of a kind of puzzle.

    name: the kind that `dataset.json` says. vocabulary, cells: tokens and length of a row, where all datasets of the
    kind share them. drawn: as a board of `symbols` (one a token), as a grid of colours, or as text. palette: the colour
    of each token on figures; for a grid that of each colour. augmentation: "module:class". difficulty: by name.
    votes: identifiers name tasks and their augmentations, whose answers vote. typed: how people write its puzzles,
    where they can. recognised: whether a dataset of the original code, which does not say its kind, is of this one.
    note: what the colours of its figures mean.
    """

    name: str
    vocabulary: int | None = None
    cells: int | None = None
    drawn: Literal["board", "grid", "text"] = "board"
    symbols: str = " ." + sudoku_text.DIGITS
    palette: tuple[Rgb, ...] = ()
    augmentation: str = ""
    difficulty: Mapping[str, Measure] = field(default_factory=dict)
    votes: bool = False
    typed: Callable[[DatasetMetadata], TextFamily | None] = lambda _: None
    recognised: Callable[[DatasetMetadata], bool] = lambda _: False
    note: str = ""


def _colours(text: str) -> tuple[Rgb, ...]:
    """Read colours as they are written in CSS."""
    return tuple((red, green, blue) for red, green, blue in map(bytes.fromhex, text.split()))


def _sudoku(metadata: DatasetMetadata) -> Sudoku | None:
    box = sudoku_text.box_of(metadata)
    return None if box is None else Sudoku(box, metadata.seq_len)


def _is_maze(metadata: DatasetMetadata) -> bool:
    return metadata.vocab_size == MAZE.vocabulary and math.isqrt(metadata.seq_len) ** 2 == metadata.seq_len


ARC = PuzzleKind(
    name="arc",
    vocabulary=layout.VOCAB_SIZE,
    cells=layout.SEQ_LEN,
    drawn="grid",
    # The ten colours in which ARC tasks are usually shown.
    palette=_colours("000000 0074d9 ff4136 2ecc40 ffdc00 aaaaaa f012be ff851b 7fdbff 870c25"),
    augmentation="trm_cli.data.augmentation.arc:ArcAugmentation",
    votes=True,
    recognised=lambda metadata: (metadata.vocab_size, metadata.seq_len) == (layout.VOCAB_SIZE, layout.SEQ_LEN),
)
SUDOKU = PuzzleKind(
    name="sudoku",
    augmentation="trm_cli.data.augmentation.sudoku:SudokuAugmentation",
    difficulty={"clues": Measure("inputs", lowest=sudoku_text.BLANK + 1)},
    typed=_sudoku,
    recognised=lambda metadata: sudoku_text.box_of(metadata) is not None,
    note="bold: given; blue: right; red: wrong",
)
MAZE = PuzzleKind(
    name="maze",
    vocabulary=maze_text.VOCAB_SIZE,
    symbols=maze_text.CHARACTERS,
    # Padding, wall, way, start, goal, path.
    palette=_colours("ffffff 33373d f4f4f2 1b7837 b2182b f0a202"),
    augmentation="trm_cli.data.augmentation.maze:MazeAugmentation",
    difficulty={"path_length": Measure("labels", lowest=maze_text.WAY, highest=maze_text.WAY)},
    typed=lambda metadata: Maze(metadata.seq_len),
    recognised=_is_maze,
)
TEXT = PuzzleKind(name="text", drawn="text")
REVERSED = PuzzleKind(name="reversed", symbols=" 0123456789")  # of dataset_builders/template_builder.py
_OTHER = PuzzleKind(name="other")

#: Recognised in this order where a dataset does not say its kind.
KINDS: Mapping[str, PuzzleKind] = {kind.name: kind for kind in (ARC, SUDOKU, MAZE, TEXT, REVERSED)}


def kind_of(metadata: DatasetMetadata) -> PuzzleKind:
    """The kind of a dataset; for a kind that is not in the table, one of which nothing is known."""
    if metadata.kind is not None:
        return KINDS.get(metadata.kind, _OTHER)
    return next((kind for kind in KINDS.values() if kind.recognised(metadata)), _OTHER)


def create_augmentation(settings: Mapping[str, object], *, seq_len: int, where: str) -> Augmentation:
    """Build the augmentation that a dataset names; `where` is the split's directory. Raises DatasetError naming it."""
    named = settings.get("kind")
    kind = KINDS.get(named) if isinstance(named, str) else None
    if kind is None or not kind.augmentation:
        known = ", ".join(kind.name for kind in KINDS.values() if kind.augmentation)
        raise DatasetError(f"{where}: augmentation kind {named!r} is unknown, expected one of {known}")
    module, _, name = kind.augmentation.partition(":")
    try:
        # Imported when a dataset asks for it. Every class is built alike; the directory is that of the split.
        made: Augmentation = getattr(import_module(module), name)(settings, seq_len=seq_len, directory=Path(where))
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{where}: the augmentation settings are damaged: {error}") from error
    return made
