"""A short version of `python -m benchmarks.fuzz.datasets`: damaged datasets end in one error, or do not matter."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.fuzz.datasets import damage_and_open, write_puzzles


@pytest.fixture(scope="module")
def puzzles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_puzzles(tmp_path_factory.mktemp("fuzz") / "puzzles")


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_damaged_puzzle_arrays(puzzles: Path, first: int) -> None:
    ends = [damage_and_open(puzzles, number) for number in range(first, first + 20)]
    assert [fault for _, fault in ends if fault is not None] == []
    assert {ended for ended, _ in ends} <= {"whole", "DatasetError, exit code 3"}


def test_damaged_streams(canvases: Path) -> None:
    ends = [damage_and_open(canvases, number, board_side=12) for number in range(12)]
    assert [fault for _, fault in ends if fault is not None] == []
    assert {ended for ended, _ in ends} <= {"whole", "DatasetError, exit code 3"}
