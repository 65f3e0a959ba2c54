"""The loop executes the plan: as many updates, the same values, evaluations and checkpoints where it says."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.support.boards import write_boards
from tests.support.runs import prepare, records, train
from trm_cli.errors import TrmError
from trm_cli.evaluation.scores import accuracy
from trm_cli.evaluation.scores.accuracy import evaluate
from trm_cli.models.network import Network
from trm_cli.training.optimizers.adam_atan2 import AdamATan2
from trm_cli.training.run.datasets import eval_batch_size
from trm_cli.training.signals import StopRequest


@pytest.mark.parametrize("rounding", ["per_epoch", "whole_run"])
def test_the_optimizer_steps_as_often_as_planned(
    rounding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    original = AdamATan2.step_where
    monkeypatch.setattr(AdamATan2, "step_where", lambda self, where: (counted.append(1), original(self, where))[1])
    data = write_boards(tmp_path / "data", train=43)
    run = train(data, tmp_path / "run", f"step_rounding={rounding}")
    assert len(counted) == run.plan.total_steps == {"per_epoch": 5 * 6, "whole_run": 43 * 6 // 8}[rounding]


def test_logged_values_are_those_of_the_plan_at_every_step(tmp_path: Path, dataset: Path) -> None:
    run = train(dataset, tmp_path / "run", "lr_warmup_ratio=0.29", "lr_min_ratio=0.1")
    logged = records(tmp_path / "run", "train")
    assert [record["step"] for record in logged] == list(range(1, 31))
    for record in logged:
        planned = run.plan.record_at(record["step"])
        assert {name: record[name] for name in planned} == planned
    assert json.loads((tmp_path / "run/plan.json").read_text()) == run.plan.to_json()


def test_evaluations_and_checkpoints_come_where_the_plan_says(tmp_path: Path, dataset: Path) -> None:
    run, recorder = prepare(dataset, tmp_path / "run", "checkpoint_interval=3", "eval_interval=2")
    with StopRequest() as stop:
        run.train(recorder, stop)
    assert [step for step, _ in recorder.evaluations] == list(run.plan.eval_steps) == [10, 20, 30]
    assert set(run.plan.checkpoint_steps) == {15, 30} <= set(recorder.saved_steps)


def test_a_longer_log_interval_averages_over_its_updates(tmp_path: Path, dataset: Path) -> None:
    train(dataset, tmp_path / "each")
    train(dataset, tmp_path / "seventh", "log_interval=7")
    each = {record["step"]: record for record in records(tmp_path / "each", "train")}
    seventh = records(tmp_path / "seventh", "train")
    assert [record["step"] for record in seventh] == [1, 7, 14, 21, 28, 30]
    before = 0
    for record in seventh:
        mean = sum(each[step]["loss"] for step in range(before + 1, record["step"] + 1)) / (record["step"] - before)
        assert record["loss"] == pytest.approx(mean, rel=1e-5)
        before = record["step"]


def test_the_loss_is_the_sum_of_its_named_terms(tmp_path: Path, dataset: Path) -> None:
    train(dataset, tmp_path / "run")
    for record in records(tmp_path / "run", "train"):
        assert record["loss"] == pytest.approx(record["lm_loss"] + record["q_halt_loss"], rel=1e-5)


def test_evaluation_counts_each_test_puzzle_once_and_uses_the_averaged_weights(tmp_path: Path, dataset: Path) -> None:
    run = train(dataset, tmp_path / "run")
    assert run.state.ema is not None
    assert run.datasets.test is not None
    last = records(tmp_path / "run", "eval")[-1]
    assert last["count"] == 16
    raw = [parameter.clone() for parameter in run.state.model.parameters()]
    with run.state.ema.swapped():
        again = evaluate(run.state.model, run.datasets.test.eval_batches(5), torch.device("cpu"))
    assert again.to_json() == {key: last[key] for key in again.to_json()}
    assert all(torch.equal(a, b) for a, b in zip(raw, run.state.model.parameters(), strict=True))


def test_an_evaluation_computes_no_rows_for_padding_alone(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, recorder = prepare(dataset, tmp_path / "run")
    advance, rows = run.state.model.advance, []

    def seen(carry: object, batch: dict[str, torch.Tensor], *more: object) -> object:
        rows.extend([len(batch["labels"])] * (not more))
        return advance(carry, batch, *more)  # type: ignore[operator]

    monkeypatch.setattr(run.state.model, "advance", seen)
    with StopRequest() as stop:
        run.train(recorder, stop, stop_at_step=10)
    assert rows == [16] * 3
    many, few = SimpleNamespace(eval_rows=1000), SimpleNamespace(eval_rows=17)
    sizes = [eval_batch_size(run.config, test, 2) for test in (many, few, None)]  # type: ignore[arg-type]
    assert sizes == [256, 18, 0], "as many rows for each process"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("eval_batch_size=6",), [6, 6, 6]),
        (("micro_batch_size=7",), [7, 7, 2]),
        (("eval_batch_size=6", "eval_batches=1"), [6]),
    ],
)
def test_an_evaluation_in_parts(
    words: tuple[str, ...], parts: list[int], tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, rows = accuracy._score_batch, []

    def counted(model: Network, batch: dict[str, torch.Tensor], *more: Any) -> None:
        rows.append(len(batch["labels"]))
        score(model, batch, *more)

    monkeypatch.setattr(accuracy, "_score_batch", counted)
    run, recorder = prepare(dataset, tmp_path / "run", *words)
    with StopRequest() as stop:
        run.train(recorder, stop, stop_at_step=10)
    assert rows == parts
    if "eval_batches=1" not in words:
        assert run.datasets.test is not None
        again = evaluate(run.state.model, run.datasets.test.eval_batches(16), torch.device("cpu"), micro_batch_size=5)
        assert rows[len(parts) :] == [5, 5, 5, 1]
        assert again == evaluate(run.state.model, run.datasets.test.eval_batches(16), torch.device("cpu"))


def test_a_loss_that_is_not_finite_stops_the_run_with_the_last_checkpoint_intact(tmp_path: Path, dataset: Path) -> None:
    train(dataset, tmp_path / "run", stop_at_step=5)
    run, recorder = prepare(dataset, tmp_path / "run")
    with torch.no_grad():
        next(run.state.model.parameters()).fill_(float("nan"))
    with StopRequest() as stop, pytest.raises(TrmError, match="at update 8 the loss is nan"):
        run.train(recorder, stop)
    assert run.store.steps() == [5]


def test_a_failing_save_is_told_and_tried_again(tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, recorder = prepare(dataset, tmp_path / "run")
    original, failures = torch.save, iter([True, True])

    def sometimes(*args: object, **kwargs: object) -> None:
        if next(failures, False):
            raise OSError(28, "No space left on device")
        original(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(torch, "save", sometimes)
    with StopRequest() as stop:
        run.train(recorder, stop)
    assert recorder.saved_steps[0] == 7  # planned for 5, failed at 5 and 6
    assert "No space left on device" in recorder.notes[0]
    assert run.state.step == 30
