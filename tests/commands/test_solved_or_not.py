"""`trm solve` ends with 5 where it did not solve; it says what the puzzle itself allows; fields mean one thing."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.boards import boards
from tests.support.commands import trm_here
from trm_cli.data.puzzles.sudoku_text import symbol

ALONE = ("--views", "1")


def lines(count: int) -> list[str]:
    return ["".join(map(symbol, puzzle)) for puzzle in boards(count, seed=5)[0].tolist()]


def test_the_exit_code_says_whether_it_was_solved(trained: Path, tmp_path: Path) -> None:
    codes = {}
    for line in lines(12):
        done = trm_here("solve", "run", line, "--views", "1", "--json", cwd=trained)
        codes.setdefault(json.loads(done.stdout)["solved"], set()).add(done.returncode)
    assert codes == {True: {0}, False: {5}}


def test_of_a_list_every_line_has_to_be_solved(trained: Path, tmp_path: Path) -> None:
    every = lines(12)
    solved = [line for line in every if trm_here("solve", "run", line, *ALONE, cwd=trained).returncode == 0]
    for chosen, code in ((every, 5), (solved, 0), ([*solved, "12x"], 1)):
        (tmp_path / "list.txt").write_text("\n".join(chosen))
        words = ["solve", "run", "--all-solutions-of", str(tmp_path / "list.txt"), *ALONE]
        assert trm_here(*words, cwd=trained).returncode == code


def test_views_solve_what_one_pass_does_not(trained: Path, tmp_path: Path) -> None:
    """An answer that breaks a rule is tried under symmetries of the puzzle, and it is said how many views it took."""
    every = lines(12)
    (tmp_path / "list.txt").write_text("\n".join(every))
    words = ["solve", "run", "--all-solutions-of", str(tmp_path / "list.txt"), "--json"]
    alone, views = (json.loads(trm_here(*words, *more, cwd=trained).stdout) for more in (ALONE, ()))
    assert alone["solved"] < views["solved"]
    for one, other in zip(alone["answers"], views["answers"], strict=True):
        assert one["views"] == 1 and other["solved"] == (other["views"] == 1 or not one["solved"])
        if one["solved"]:
            assert other == one
    hard = next(one["puzzle"] for one in alone["answers"] if not one["solved"])
    done = trm_here("solve", "run", hard, cwd=trained)
    assert done.returncode == 0 and " of the puzzle" in done.stdout
    assert json.loads(trm_here("solve", "run", hard, "--json", cwd=trained).stdout)["views"] > 1


def test_a_puzzle_with_several_solutions_is_called_so(trained: Path) -> None:
    done = trm_here("solve", "run", "1" + "." * 15, cwd=trained)
    assert "the puzzle has several solutions" in done.stdout
    done = trm_here("solve", "run", "1" + "." * 15, "--json", cwd=trained)
    assert json.loads(done.stdout)["remark"] == "the puzzle has several solutions"
    done = trm_here("solve", "run", "123." + "...4" + "." * 8, cwd=trained)
    assert "the puzzle has no solution" in done.stdout
    assert done.returncode == 5


def test_fields_of_json_documents_mean_one_thing(trained: Path, tmp_path: Path) -> None:
    document = json.loads(trm_here("solve", "run", lines(1)[0], "--json", cwd=trained).stdout)
    assert document["checkpoint_step"] > 100
    assert "trained_steps" not in document
    words = ["inspect-schedule", "sudoku-extreme", "--samples-per-epoch", "9", "--json"]
    plan = json.loads(trm_here(*words, cwd=tmp_path).stdout)
    for quantity in plan["quantities"]:
        for segment in quantity["segments"]:
            assert (segment["curve"] == "constant") == (segment["start_value"] == segment["end_value"])
