"""Convert Sudoku boards between text and tokens. A board is N x N with N = box rows x box columns.

Tokens: 0 padding, 1 blank, digit d is d + 1. Digits beyond 9 are letters: A is 10.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.errors import UsageError

BLANK = 1
BLANKS = ".0_?*"
OTHER_BLANKS = "-xX"  # a dash may also be part of a frame, an X a digit of a very large board
_DECORATION = frozenset("|+=: \t\r\n,;")
_FRAME = _DECORATION | {"-"}
_REMARKS = ("#", "[")
DIGITS = "123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def parse_sudoku(text: str, cells: int) -> list[int]:
    """Read one board from text: one character a cell, one of `. 0 _ ? * - x` for a blank; spaces, lines and frames are
    ignored, and remarks (`#`, and `[Puzzle]` of .sdk files).

    cells: how many cells the model's board has. Raises UsageError naming what is wrong.
    """
    side = math.isqrt(cells)
    board = _cells_of(text, cells)
    if len(board) != cells:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and all(has_cells(line, cells) for line in lines):
            raise UsageError(f"this is a list of {len(lines)} puzzles", hint=LIST_HINT)
        if len(lines) > 1 and any(has_cells(field, cells) for field in table_fields(lines[1])):
            raise UsageError("this is a table of puzzles", hint=LIST_HINT)
        if text.lstrip()[:1] in ("{", "[") and '"' in text:
            raise UsageError(f"this is JSON, the run was trained on Sudoku boards of {cells} cells", hint=_JSON_HINT)
        found = f"{len(board)} cell{'s' * (len(board) != 1)}"
        raise UsageError(
            f"this puzzle has {found}, the run was trained on {side}x{side} boards ({cells} cells)",
            hint=f"write {cells} characters, for instance {'.' * side} for an empty row; boards of another size have "
            "other digits, which this network has no words for: they need a run of their own",
        )
    tokens = [_token(symbol, side) for symbol in board]
    for cell, token in enumerate(tokens):
        if token is None:
            raise UsageError(
                f"{board[cell]!r} in cell {cell + 1} is not a cell of a {side}x{side} Sudoku: digits 1 to "
                f"{DIGITS[side - 1]}, . for a blank"
            )
    return [token for token in tokens if token is not None]


_JSON_HINT = "`trm train arc-1` and unified-mini are trained on ARC tasks; a board is written as text"
LIST_HINT = "answer each line of a file: trm solve RUN --all-solutions-of FILE"


def has_cells(text: str, cells: int) -> bool:
    """Whether a text can be read as a board of so many cells."""
    return len(_cells_of(text, cells)) == cells


def table_fields(line: str) -> list[str]:
    """The fields of a line of a table: a list of puzzles may be one, with answers or numbers beside them."""
    return [field.strip("\"'") for field in re.split(r" *[,;\t|] *", line)]


def _cells_of(text: str, cells: int) -> list[str]:
    """The symbols of a board. A dash is a blank or part of a frame, whichever gives a whole board."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith(_REMARKS)]
    text = "\n".join(lines)
    readings = (
        "".join(line for line in lines if "-" not in line or not _FRAME.issuperset(line)),
        "".join(line for line in lines if "+" not in line),
        text,
        text.replace("-", ""),
    )
    boards = [[symbol for symbol in reading if symbol not in _DECORATION] for reading in readings]
    return next((board for board in boards if len(board) == cells), boards[0])


def _token(symbol: str, side: int) -> int | None:
    """The token of a cell; None where it is no cell of such a board."""
    digit = DIGITS.find(symbol.upper()) + 1
    if 0 < digit <= side:
        return digit + 1
    return BLANK if symbol in BLANKS + OTHER_BLANKS else None


def conflicts(tokens: Sequence[int], box: tuple[int, int]) -> list[int]:
    """Indices of cells whose digit stands twice in a row, a column or a box; blanks never conflict."""
    side = box[0] * box[1]
    bad: set[int] = set()
    for unit in units(box):
        seen: dict[int, int] = {}
        for cell in unit:
            token = tokens[cell]
            if token <= 1:
                continue
            if token in seen:
                bad |= {cell, seen[token]}
            seen[token] = cell
    assert len(tokens) == side * side
    return sorted(bad)


def is_solution(answer: Sequence[int], puzzle: Sequence[int], box: tuple[int, int]) -> bool:
    """Return whether `answer` is full, keeps every clue of `puzzle`, and breaks no rule."""
    side = box[0] * box[1]
    full = all(2 <= token <= side + 1 for token in answer)
    keeps = all(clue in (1, token) for clue, token in zip(puzzle, answer, strict=True))
    return full and keeps and not conflicts(answer, box)


def units(box: tuple[int, int]) -> list[list[int]]:
    """The cells of every row, column and box of a board whose boxes are `box` = (rows, columns) in size."""
    height, width = box
    side = height * width
    rows = [[row * side + column for column in range(side)] for row in range(side)]
    columns = [[row * side + column for row in range(side)] for column in range(side)]
    boxes = [
        [(top + row) * side + left + column for row in range(height) for column in range(width)]
        for top in range(0, side, height)
        for left in range(0, side, width)
    ]
    return rows + columns + boxes


def box_of(metadata: DatasetMetadata) -> tuple[int, int] | None:
    """The box shape of a Sudoku dataset, as its metadata says it or its size implies; None for other puzzles."""
    side = math.isqrt(metadata.seq_len)
    root = math.isqrt(side)
    for source in (metadata.augmentation or {}, metadata.extra):
        box = source.get("box")
        if isinstance(box, list | tuple) and len(box) == 2:
            return int(box[0]), int(box[1])
    # The published set has no such key: its boards are square, its vocabulary the digits, the blank and the padding.
    if side * side == metadata.seq_len and root * root == side and metadata.vocab_size == side + 2:
        return root, root
    return None


def symbol(token: int) -> str:
    """Return the character of a token on a board."""
    return DIGITS[token - 2] if token >= 2 else "."
