"""The runner of ideas about learning: its jobs, its results and their table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks import learning, timed_training
from trm_cli.config.compose import compose


@pytest.mark.parametrize(("task", "row"), [(task, row) for task in learning.TASKS for row in learning.rows_of(task)])
def test_every_row_is_a_configuration(task: str, row: str) -> None:
    settings = learning.settings_of(task, row)
    assert all(task == "sudoku-hard-small" for word in settings if "extra_clues" in word)  # other builders have none
    config = compose(task, settings).config
    assert config.global_batch_size == (32 if "small-batch" in row or "neighbours" in row else 64)


@pytest.mark.parametrize("task", learning.TASKS)
def test_every_task_has_the_recipe_as_it_was(task: str) -> None:
    config = compose(task, learning.settings_of(task, "published")).config
    assert (config.arch.H_cycles, config.arch.L_cycles, config.arch.halt_max_steps) == (2, 2, 6)
    assert (config.lr, config.ema_rate, config.global_batch_size) == (1.5e-3, 0.99, 64)


def test_a_job_trains_on_other_puzzles_and_keeps_what_its_last_evaluation_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def train(
        recipe: str, run: Path, seconds: float, settings: list[str], *, slack: float, evaluations: int
    ) -> timed_training.TimedRun:
        assert (recipe, seconds, slack, evaluations) == ("sudoku-small", 30, 1.5, 1)
        asked.append(settings)
        run.mkdir(parents=True)
        evaluations = [{"kind": "eval", "exact_accuracy": share, "count": 8} for share in (0.25, 0.75)]
        lines = [json.dumps(record) for record in (*evaluations, {"kind": "train"})]
        (run / "metrics.jsonl").write_text("\n".join(lines))
        return timed_training.TimedRun(run, 10, 10, 28.5, 2)

    monkeypatch.setattr(timed_training, "train", train)
    results = tmp_path / "results.json"
    words = ["--row", "muon", "--minutes", "0.5", "--seed", "0", "1", "--out", str(tmp_path), "--results", str(results)]
    assert learning.main(words) == 0
    assert learning.main([*words, "--final", "--seed", "0"]) == 0
    assert "dataset_args.seed=1" in asked[0]
    assert "seed=1" in asked[1]
    assert not any(word.startswith("dataset_args.seed") for word in asked[2])
    found = learning.read_results(results)
    assert [(entry["exact"], entry["seed"], entry["final"]) for entry in found] == [
        (0.75, 0, False), (0.75, 1, False), (0.75, 0, True)
    ]  # fmt: skip
    with pytest.raises(SystemExit):
        learning.main(["--task", "maze-small", "--row", "eased-shallow-small-batch"])
    found[1]["exact"] = 0.5
    assert "| sudoku-small | muon | 0.5 | 2 | 10 | 28 | 62.5 % (50.0 to 75.0) |" in learning.table(found)


def test_a_depth_that_grows_is_planned_by_what_its_first_and_its_last_updates_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def probe(recipe: str, folder: Path, words: Sequence[str], limit: float) -> tuple[float, float]:
        return (1.0 if any("cycles_start" in word for word in words) else 3.0), 10.0

    monkeypatch.setattr(timed_training, "_probe", probe)
    epochs = [timed_training._epochs("r", tmp_path, words, 120) for words in (["lr=1"], ["arch.H_cycles_start=1"])]
    assert epochs == [120 // 30, 120 // 20]


def test_evaluations_are_a_curve_and_cost_the_training_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("benchmarks.processor_time.time.process_time", lambda: now[0])
    monkeypatch.setattr(timed_training, "_epochs", lambda *_: 5)

    class Clocked(timed_training._Clocked):
        """An update takes a second, each part of an evaluation a hundred."""

        def stepped(self, step: int, record: object, samples_per_second: float | None) -> None:
            now[0] += 1
            super().stepped(step, record, samples_per_second)

        def evaluating(self, rows: int) -> None:
            now[0] += 100

    monkeypatch.setattr(timed_training, "_Clocked", Clocked)
    settings = [f"dataset_args.output_dir={tmp_path / 'data'}", "dataset_args.train=64", "dataset_args.test=8"]
    ended = timed_training.train("sudoku-4x4", tmp_path / "run", 1e9, settings, evaluations=2)
    assert ended.epochs == 4  # a multiple of the evaluations
    assert [seconds for seconds, _ in timed_training.curve(tmp_path / "run")] == [ended.updates / 2, ended.updates]
    assert now[0] > 200
