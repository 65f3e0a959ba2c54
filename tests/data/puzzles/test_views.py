"""Views of a puzzle: symmetries that keep the rules, and from which an answer is carried back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.boards import boards
from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.data.puzzles.families import Maze, Sudoku
from trm_cli.data.puzzles.maze_text import parse_maze
from trm_cli.data.puzzles.views import Views, views_of

MAZES = ["S.##\n#..#\n#.##\n#..G", "S...\n.##.\n.#G.\n...."]
ROUTES = ["So##\n#o.#\n#o##\n#ooG", "Sooo\n.##o\n.#Go\n...."]


def views(kind: str, **sizes: int) -> Views | None:
    fixed = {"pad_id": 0, "ignore_label_id": 0, "blank_identifier_id": 0, "total_groups": 1}
    metadata = DatasetMetadata(
        **fixed, num_puzzle_identifiers=1, mean_puzzle_examples=1.0, total_puzzles=1, kind=kind, **sizes
    )
    return views_of(metadata, seed=3)


@given(st.integers(0, 2**20), st.lists(st.integers(0, 10**6), min_size=1, max_size=5))
def test_what_a_view_shows_is_such_a_puzzle_and_its_answer_carried_back_is_the_answer(
    number: int, places: list[int]
) -> None:
    made, family = views("sudoku", vocab_size=6, seq_len=16), Sudoku((2, 2), 16)
    assert made is not None
    puzzles, solutions = boards(len(places), seed=number)
    view = made.draw(np.array(places), number)
    seen, answer = view.of(puzzles), view.of(solutions)
    for one, other in zip(seen.tolist(), answer.tolist(), strict=True):
        assert family.judge(one, other).solved
    assert np.array_equal(view.back(answer), solutions)
    assert np.array_equal(view.back(seen), puzzles)
    if number == 0:
        assert np.array_equal(seen, puzzles)


def test_a_view_does_not_depend_on_the_rows_beside_it() -> None:
    made = views("sudoku", vocab_size=6, seq_len=16)
    assert made is not None
    puzzles, _ = boards(4, seed=1)
    together = made.draw(np.arange(4), 7).of(puzzles)
    assert np.array_equal(made.draw(np.array([2]), 7).of(puzzles[2:3]), together[2:3])
    assert len({made.draw(np.array([2]), number).of(puzzles[2:3]).tobytes() for number in range(20)}) > 15


@pytest.mark.parametrize("number", range(8))
def test_every_symmetry_of_a_maze_keeps_its_shortest_way(number: int) -> None:
    made = views("maze", vocab_size=6, seq_len=16)
    assert made is not None and made.count == 8
    puzzles = np.array([parse_maze(text, 16) for text in MAZES])
    answers = np.array([["?#.SGo".index(cell) for cell in text.replace("\n", "")] for text in ROUTES])
    view = made.draw(np.arange(2), number)
    for puzzle, answer in zip(view.of(puzzles).tolist(), view.of(answers).tolist(), strict=True):
        assert Maze(16).judge(puzzle, answer).solved
    assert np.array_equal(view.back(view.of(answers)), answers)


def test_labels_that_do_not_count_stay_so() -> None:
    made = views("sudoku", vocab_size=6, seq_len=16)
    assert made is not None
    labels = boards(1, seed=1)[1].astype(np.int32)
    labels[0, :5] = -100
    assert (made.draw(np.array([0]), 3).of(labels) == -100).sum() == 5


def test_kinds_whose_symmetries_are_rows_of_a_table_have_no_views() -> None:
    assert views("arc", vocab_size=12, seq_len=900) is None
    assert views("text", vocab_size=300, seq_len=64) is None
