"""What is foreseen of a run adds up, and a probe leaves no trace in the run that it foresees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.boards import write_boards
from tests.support.runs import TINY_RUN
from trm_cli.config.compose import compose
from trm_cli.console.report.summary import run_facts
from trm_cli.console.views.runs.forecast import energy
from trm_cli.training.forecast import make
from trm_cli.training.forecast.forecast import Cost, Forecast, Span, listed
from trm_cli.workflows.observers import TrainingObserver
from trm_cli.workflows.scores.report import collect
from trm_cli.workflows.train.train import TrainRequest, run_training

_SECOND = Cost(Span(0.8, 1.0, 1.5), 0.9)


def _forecast(**changed: object) -> Forecast:
    given: dict[str, object] = {
        "source": "measured", "first_step": 0, "total_steps": 100, "update": _SECOND,
        "evaluation": Cost(Span(4.0, 5.0, 6.0), 5.0), "eval_steps": (50, 100), "evaluations": 2,
        "checkpoint_bytes": 0, "kept": 3, "saves": 0, "memory": 1,
    }  # fmt: skip
    return Forecast(**{**given, **changed})  # type: ignore[arg-type]


def test_updates_evaluations_and_checkpoints_add_up_to_the_whole() -> None:
    forecast = _forecast(saves=2, checkpoint_bytes=200_000_000)
    assert forecast.duration.likely == pytest.approx(100 + 2 * 5 + 2 * (1 + 0.02))
    assert forecast.duration.low < forecast.duration.likely < forecast.duration.high
    assert forecast.processor_seconds == pytest.approx(100)
    assert forecast.disk == 600_000_000


def test_each_evaluation_has_its_time() -> None:
    assert _forecast().evaluated_after == [(50, pytest.approx(55)), (100, pytest.approx(110))]


def test_what_is_done_costs_nothing() -> None:
    forecast = _forecast(first_step=60, eval_steps=(100,), evaluations=1)
    assert forecast.duration.likely == pytest.approx(45)


def test_energy_and_price_follow_the_time() -> None:
    forecast = _forecast(watts=36.0, price_per_hour=3.6)
    assert forecast.joules == pytest.approx(36 * 110) and forecast.price == pytest.approx(0.11)
    assert energy(forecast.joules or 0) == "1.1 Wh"
    assert _forecast().joules is None and _forecast().price is None


def test_a_range_leaves_room_on_both_sides_and_one_slow_update_does_not_widen_it_without_end() -> None:
    span = Span.around([1.0, 1.0, 1.0, 5.0])
    assert (span.low, span.likely, span.high) == (1.0, 2.0, 3.0)
    assert Span.around([1.0]).low == pytest.approx(0.9)


def test_only_steps_ahead_are_listed() -> None:
    assert listed((10, 20, 30), 20) == ((30,), 1)
    assert listed(None, 0) == ((), 0)
    assert listed(range(1, 5001), 0) == ((), 5000)


class _Listener(TrainingObserver):
    def __init__(self) -> None:
        self.forecasts: list[Forecast] = []

    def foreseen(self, forecast: Forecast) -> None:
        self.forecasts.append(forecast)


def _words(data: Path, run: Path, *more: str) -> list[str]:
    return [f"data_paths=[{data}]", f"checkpoint_path={run}", *TINY_RUN, "epochs=2", *more]


def test_a_dry_run_measures_and_writes_nothing(tmp_path: Path) -> None:
    data = write_boards(tmp_path / "data")
    words, listener = _words(data, tmp_path / "run", "price_per_hour=2"), _Listener()
    run_training(compose("sudoku-4x4", words), TrainRequest(dry_run=True), listener)
    [forecast] = listener.forecasts
    assert forecast.source.startswith("measured: ") and forecast.price is not None
    assert 0 < forecast.update.time.low <= forecast.update.time.likely <= forecast.update.time.high
    assert forecast.evaluations == len(forecast.eval_steps) == 1 and forecast.evaluation.time.likely > 0
    assert not (tmp_path / "run").exists()


def test_a_run_after_a_probe_has_the_same_weights_and_keeps_its_forecast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_boards(tmp_path / "data")
    for name, least in (("probed", 1), ("plain", 10_000)):
        monkeypatch.setattr(make, "_WORTH_A_PROBE", least)
        run_training(compose("sudoku-4x4", _words(data, tmp_path / name, "price_per_hour=2")))
    probed, plain = tmp_path / "probed", tmp_path / "plain"
    assert (probed / "metrics.jsonl").read_bytes() == (plain / "metrics.jsonl").read_bytes()
    first = json.loads((probed / "timings.jsonl").read_text().splitlines()[0])
    assert first["forecast"]["from_step"] == 0 and "forecast" not in (plain / "timings.jsonl").read_text()
    facts = dict(run_facts(collect(probed)))
    assert "processor time" in facts["took"] and "price" in facts["took"]
    assert "measured" in facts["forecast"]


def test_what_is_too_large_for_a_probe_is_estimated_from_its_operations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, listener = write_boards(tmp_path / "data"), _Listener()
    monkeypatch.setattr(make, "_SMALL", 0)
    monkeypatch.setattr(make, "_SECONDS", 0.0)
    run_training(compose("sudoku-4x4", _words(data, tmp_path / "run")), TrainRequest(dry_run=True), listener)
    [forecast] = listener.forecasts
    assert "GFLOP/s measured" in forecast.source and forecast.update.processor is None
    assert 0 < forecast.update.time.low < forecast.update.time.likely < forecast.update.time.high


def test_of_slow_updates_one_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three and the first one would take 80 seconds here, of 45 that may pass."""
    data, listener = write_boards(tmp_path / "data"), _Listener()
    slow, fewest, really = Cost(Span(20.0, 34.0, 80.0)), [], make.probe

    def probing(*arguments: Any) -> Any:
        fewest.append(arguments[-1])
        return really(*arguments)

    monkeypatch.setattr(make, "probe", probing)
    monkeypatch.setattr(make.Forecaster, "_computed", lambda *_: (slow, slow, "estimated"))
    for name, value in (("_SMALL", 0), ("_SECONDS", 45.0), ("_SHARE", 0.0), ("_ASKED_SECONDS", 0.0)):
        monkeypatch.setattr(make, name, value)
    run_training(compose("sudoku-4x4", _words(data, tmp_path / "run")), TrainRequest(dry_run=True), listener)
    [forecast] = listener.forecasts
    assert fewest == [1] and forecast.source.startswith("measured: ")
