"""Lists of puzzles are read from tables as well, and what is no single puzzle leads to the command that reads it."""

from __future__ import annotations

import pytest

from trm_cli.data.puzzles.families import Sudoku
from trm_cli.data.puzzles.sudoku_text import parse_sudoku
from trm_cli.errors import UsageError
from trm_cli.evaluation.solving.lines import read_lines
from trm_cli.workflows.solve.pretrained import pretrained_for

PUZZLES = ("1030004002000004", "0100400000030020")
ANSWER = "1432234142133124"


@pytest.mark.parametrize(
    "lines",
    [
        PUZZLES,
        ["quizzes,solutions", *(f"{one},{ANSWER}" for one in PUZZLES)],
        ["id;puzzle;clues", *(f"{n};{one};4" for n, one in enumerate(PUZZLES))],
        ["", *(f'"{one}"\t"{ANSWER}"' for one in PUZZLES)],
        [",".join(one) for one in PUZZLES],
    ],
)
def test_a_table_is_a_list(lines: list[str]) -> None:
    family = Sudoku((2, 2), 16)
    found = read_lines(lines, family)
    assert [one.tokens for one in found] == [tuple(parse_sudoku(one, 16)) for one in PUZZLES]
    assert pretrained_for("\n".join(lines), one_a_line=True).cells == 16


def test_a_line_that_is_no_puzzle_is_told() -> None:
    wrong = ["103,x", f"11{'.' * 14},{ANSWER}"]
    found = read_lines(["puzzle", *wrong, PUZZLES[0]], Sudoku((2, 2), 16))
    assert [(one.number, one.tokens is None) for one in found] == [(2, True), (3, True), (4, False)]
    assert "contradict" in found[1].problem or "twice" in found[1].problem


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("\n".join(PUZZLES), "trm solve --all-solutions-of FILE"),
        ('{"train": [], "test": []}', "trm train unified-mini"),
        ("####\n#S.#\n#.G#\n####", "trm train maze-generated"),
    ],
)
def test_what_is_no_board_leads_on(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        pretrained_for(text)
    assert hint in str(raised.value.hint)


def test_a_list_in_the_place_of_a_puzzle() -> None:
    with pytest.raises(UsageError, match="a list of 2 puzzles") as raised:
        parse_sudoku("\n".join(PUZZLES), 16)
    assert "trm solve RUN --all-solutions-of FILE" in str(raised.value.hint)
