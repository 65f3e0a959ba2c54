"""Boards as people type and copy them, and lists of boards as Windows saves them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import trm_here
from trm_cli.data.puzzles.sudoku_text import parse_sudoku
from trm_cli.errors import UsageError

TOKENS = [2, 1, 1, 1] + [1] * 4 + [1, 1, 3, 1] + [1, 1, 1, 4]
FRAMED = "+--+--+\n|1.|..|\n|..|..|\n+--+--+\n|..|2.|\n|..|.3|\n+--+--+"


@pytest.mark.parametrize("blank", [*".0_?*-xX"])
def test_every_blank_in_every_layout(blank: str) -> None:
    rows = [row.replace(".", blank) for row in ("1...", "....", "..2.", "...3")]
    for text in ("".join(rows), "\n".join(rows), "\r\n".join(rows), " ".join(rows), "|".join(rows), ",".join(rows)):
        assert parse_sudoku(text, 16) == TOKENS
    if blank != "-":
        assert parse_sudoku("\n---------\n".join(rows), 16) == TOKENS


@pytest.mark.parametrize("blank", [*".0_?*-xX"])
def test_frames_are_no_cells(blank: str) -> None:
    assert parse_sudoku(FRAMED.replace(".", blank), 16) == TOKENS


def test_letters_of_large_boards_are_digits() -> None:
    assert parse_sudoku("X" + "." * 1295, 1296)[0] == 34
    assert parse_sudoku("A" + "." * 255, 256)[0] == 11


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("9" * 81, "this puzzle has 81 cells, the run was trained on 4x4 boards"),
        ("1", "this puzzle has 1 cell, "),
        ("1234" * 3 + "12y4", "'y' in cell 15 is not a cell of a 4x4 Sudoku"),
    ],
)
def test_what_is_wrong_is_called_by_its_name(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_sudoku(text, 16)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lists_and_boards_with_a_byte_order_mark(encoding: str, trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "puzzles.txt"
    path.write_bytes("1030004002000004\r\n\r\n0100400000030020\r\n".encode(encoding))
    done = trm_here("solve", "run", "--all-solutions-of", str(path), cwd=trained)
    assert [len(line) for line in done.stdout.splitlines()] == [16, 16], done.stderr
    path.write_bytes("1030004002000004\r\n".encode(encoding))
    assert "16 cells" not in trm_here("solve", "run", str(path), cwd=trained).stderr


def test_remarks_of_files_are_no_cells() -> None:
    board = "1...\n..3.\n.4..\n...2"
    for text in (f"#A somebody\n#D 4 clues, 1 way\n{board}", f"[Puzzle]\n{board}\n", f"# easy\r\n{board}"):
        assert parse_sudoku(text, 16) == parse_sudoku(board, 16)
