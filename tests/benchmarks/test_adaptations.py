"""The benchmarks of `trm adapt`: which tasks they draw, what counts within a time, which submissions are valid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.adapt import families, kills
from benchmarks.hesc_card.families import FAMILIES


def test_new_tasks_are_of_ten_families_and_few_are_pure_recolourings() -> None:
    tasks = families.new_tasks(2, families.NEW_TASKS)
    names = [name.rpartition("-")[0] for name in tasks]
    assert len(tasks) == 20 and len(set(names)) == 10
    assert names.count("recolour") <= 4
    assert set(names) <= {family.name for family in FAMILIES}


def test_a_stop_counts_where_learning_and_vote_fit_into_the_time() -> None:
    stops: dict[str, dict[str, float]] = {
        str(step): {"learning_seconds": seconds, "vote_seconds": 10.0, "pass_2": step}
        for step, seconds in ((900, 50.0), (1800, 111.0), (2700, 170.0))
    }
    found = [families.within(stops, minutes) for minutes in (0.5, 1, 2, 3)]
    assert [one and one["pass_2"] for one in found] == [None, 900, 900, 2700]


def test_results_replace_those_of_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "RESULTS", tmp_path / "results.json")
    for seed, stops in ((0, {"1": {}}), (1, {"1": {}}), (0, {"1": {}, "2": {}})):
        families.add_result({"way": "all", "seed": seed, "stops": stops})
    kept = json.loads((tmp_path / "results.json").read_text())
    assert [(one["seed"], len(one["stops"])) for one in kept] == [(1, 1), (0, 2)]


GRID = [[1, 2]]


@pytest.mark.parametrize(
    ("submission", "said"),
    [
        ({"a": [{"attempt_1": GRID, "attempt_2": [[0]]}], "b": [{"attempt_1": GRID, "attempt_2": GRID}]}, ""),
        ({"b": [], "a": []}, "order"),
        ({"a": [], "b": []}, "a: 0 answers to 1"),
        ({"a": [{"attempt_1": GRID}], "b": [{"attempt_1": GRID}]}, "is not two grids"),
        ({"a": [{"attempt_1": [[1], [2, 3]], "attempt_2": GRID}], "b": []}, "is not two grids"),
        ({"a": [{"attempt_1": [[10]], "attempt_2": GRID}], "b": []}, "is not two grids"),
    ],
)
def test_what_is_wrong_with_a_submission_is_seen(submission: Any, said: str, tmp_path: Path) -> None:
    tasks = {name: {"test": [{"input": [[1]]}]} for name in ("a", "b")}
    for name, document in (("tasks", tasks), ("submission", submission)):
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    found = kills.invalid(tmp_path / "tasks.json", tmp_path / "submission.json")
    assert (found == "") if not said else said in found
