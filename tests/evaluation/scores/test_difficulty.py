"""Bins hold every row once, and accuracy by difficulty adds up to the accuracy of all."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trm_cli.data.files.metadata import DatasetMetadata
from trm_cli.evaluation.scores.difficulty import MOST_BINS, bins, by_difficulty, features


@given(st.lists(st.integers(-5, 60), min_size=1, max_size=200))
def test_bins_cover_every_value_once(values: list[int]) -> None:
    ranges = bins(np.array(values))
    assert 1 <= len(ranges) <= MOST_BINS
    for value in values:
        assert sum(low <= value <= high for low, high in ranges) == 1
    assert ranges == sorted(ranges)
    # Each range begins and ends at a value that is there.
    assert {end for one in ranges for end in one} <= set(values)


def test_many_different_values_are_spread_evenly() -> None:
    ranges = bins(np.arange(800))
    assert [high - low + 1 for low, high in ranges] == [100] * MOST_BINS


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=80))
def test_the_parts_add_up(rows: list[tuple[int, bool]]) -> None:
    values, right = np.array([one for one, _ in rows]), np.array([hit for _, hit in rows])
    table = by_difficulty({"clues": values}, right, right.astype(float))["clues"]
    assert sum(row["exact"]["count"] for row in table) == len(rows)
    assert sum(row["exact"]["hits"] for row in table) == right.sum()


def metadata(kind: str | None, *, vocab_size: int, seq_len: int) -> DatasetMetadata:
    return DatasetMetadata(vocab_size=vocab_size, seq_len=seq_len, total_groups=2, total_puzzles=2, kind=kind)


def test_what_a_row_says_about_itself() -> None:
    board = np.array([[1, 1, 2, 3] * 4, [1] * 16])
    batch = {"inputs": board, "labels": board}
    for kind in ("sudoku", None):  # the published set names no kind
        found = features(batch, metadata(kind, vocab_size=6, seq_len=16), np.array([7, 9]))
        assert {name: values.tolist() for name, values in found.items()} == {"rating": [7, 9], "clues": [8, 0]}
    maze = {"inputs": np.array([[1, 3, 2, 4]]), "labels": np.array([[1, 5, 5, 4]])}
    assert features(maze, metadata("maze", vocab_size=6, seq_len=4), None)["path_length"].tolist() == [2]
    record = {"kind": np.array([0, 2])}
    assert features(record, metadata("stream", vocab_size=9, seq_len=16), None)["record"].tolist() == [0, 2]
