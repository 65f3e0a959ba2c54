"""Convert mazes between text and tokens, and check whether an answer is a shortest path.

Tokens: 0 padding, 1 wall "#", 2 free " ", 3 start "S", 4 goal "G", 5 way "o" (answers only).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from trm_cli.errors import UsageError

CHARACTERS = "?# SGo"
VOCAB_SIZE = len(CHARACTERS)
WALL, FREE, START, GOAL, WAY = 1, 2, 3, 4, 5
_READ = {"#": WALL, " ": FREE, ".": FREE, "_": FREE, "S": START, "G": GOAL}


def parse_maze(text: str, cells: int) -> list[int]:
    """Read one square maze: a line for each row, or all cells in one line; a space, `.` or `_` is free.

    A row may end early where only free cells would follow: editors cut trailing spaces off.
    cells: how many the model's maze has. Raises UsageError naming what is wrong.
    """
    side = math.isqrt(cells)
    rows = text.replace("\r", "").strip("\n").split("\n")
    if len(rows) == 1:
        if len(rows[0]) != cells:
            raise UsageError(_size_message(f"{len(rows[0])} cells", side, cells), hint=_SIZE_HINT)
    elif len(rows) != side or any(len(row) > side for row in rows):
        longest = max(map(len, rows))
        raise UsageError(_size_message(f"{len(rows)} rows of up to {longest} cells", side, cells), hint=_SIZE_HINT)
    else:
        rows = [row.ljust(side) for row in rows]
    tokens = []
    for number, row in enumerate(rows, 1):
        for character in row:
            if character not in _READ:
                where = f" in row {number}" if len(rows) > 1 else ""
                raise UsageError(
                    f"{character!r}{where} is not a cell of a maze: # wall, space or . free, S start, G goal"
                )
            tokens.append(_READ[character])
    for token, name in ((START, "start S"), (GOAL, "goal G")):
        if tokens.count(token) != 1:
            raise UsageError(f"a maze has one {name}, this one has {tokens.count(token)}")
    return tokens


_SIZE_HINT = "one line for each row, or all cells in one line"


def _size_message(found: str, side: int, cells: int) -> str:
    return f"this maze has {found}, the run was trained on {side}x{side} mazes ({cells} cells)"


def maze_line(tokens: Sequence[int]) -> str:
    """All cells in one line, a free one as a dot."""
    return "".join(CHARACTERS[token] if token < len(CHARACTERS) else "?" for token in tokens).replace(" ", ".")


def judge_maze(puzzle: Sequence[int], answer: Sequence[int]) -> tuple[bool, str]:
    """Return whether the cells marked in `answer` are a shortest way from start to goal, and what is wrong if not."""
    side = math.isqrt(len(puzzle))
    changed = sum(
        given != (FREE if said == WAY and given == FREE else said) for given, said in zip(puzzle, answer, strict=True)
    )
    if changed:
        return False, f"the answer changes {changed} cells of the maze itself"
    start, goal = puzzle.index(START), puzzle.index(GOAL)
    way = {cell for cell, token in enumerate(answer) if token == WAY} | {start, goal}
    steps = _distance(side, start, goal, way)
    if steps is None:
        return False, "the marked cells do not lead from start to goal"
    if len(way) != steps + 1:
        return False, f"{len(way) - steps - 1} marked cells lie beside the way"
    shortest = _distance(side, start, goal, {cell for cell, token in enumerate(puzzle) if token != WALL})
    if shortest != steps:
        return False, f"the way takes {steps} steps, the shortest {shortest}"
    return True, f"a shortest way, {steps} steps"


def _distance(side: int, start: int, goal: int, free: set[int]) -> int | None:
    """Steps between two cells through `free`, up, down, left and right; None where there is no way."""
    steps = {start: 0}
    queue = deque([start])
    while queue:
        cell = queue.popleft()
        if cell == goal:
            return steps[cell]
        row, column = divmod(cell, side)
        around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
        for r, c in around:
            other = r * side + c
            if 0 <= r < side and 0 <= c < side and other in free and other not in steps:
                steps[other] = steps[cell] + 1
                queue.append(other)
    return None
