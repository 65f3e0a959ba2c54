"""How many solutions a puzzle has."""

from __future__ import annotations

import time

import pytest

from trm_cli.data.puzzles.sudoku_search import count_solutions
from trm_cli.data.puzzles.sudoku_text import parse_sudoku

EXTREME = "8..........36......7..9.2...5...7.......457.....1...3...1....68..85...1..9....4.."


@pytest.mark.parametrize(
    ("text", "box", "count"),
    [
        ("1..." + "." * 12, (2, 2), 2),
        ("1.3...4..2.....4".replace(".", "."), (2, 2), None),
        (EXTREME, (3, 3), 1),
        (EXTREME.replace("8", "."), (3, 3), 2),
        ("." * 81, (3, 3), 2),
        ("12345678." + "........9" + "." * 63, (3, 3), 0),
        ("11" + "." * 14, (2, 2), 0),
    ],
)
def test_counts(text: str, box: tuple[int, int], count: int | None) -> None:
    found = count_solutions(parse_sudoku(text, len(text)), box)
    assert found == count if count is not None else found in (0, 1, 2)


def test_the_search_is_bounded() -> None:
    started = time.perf_counter()
    count_solutions([1] * 256, (4, 4))
    assert time.perf_counter() - started < 5
