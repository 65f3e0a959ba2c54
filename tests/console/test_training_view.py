"""Without a terminal one line an interval; with one, a single live panel and the lines that stay."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from trm_cli.console.views.runs import training
from trm_cli.console.views.runs.training import LINE_SECONDS, TrainingView


def view(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> tuple[TrainingView, io.StringIO, list[float]]:
    text, now = io.StringIO(), [1000.0]
    console = Console(file=text, force_terminal=terminal, width=80, highlight=False, _environ={"TERM": "xterm"})
    monkeypatch.setattr(training, "stderr", lambda: console)
    monkeypatch.setattr(training.time, "monotonic", lambda: now[0])
    made = TrainingView(title="tiny", total_steps=1000, first_step=0, scheduled=["lr"])
    return made, text, now


def test_one_line_an_interval_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    made, text, now = view(monkeypatch, terminal=False)
    with made:
        for step in range(1, 401):
            now[0] += 0.25
            made.stepped(step, {"loss": 1.0, "lr": 1e-3}, 10.0)
            if step % 7 == 0:
                made.waiting("waiting for data")
        inside = len(text.getvalue().splitlines())
    lines = text.getvalue().splitlines()
    assert len(lines) == inside + 1  # the last state, when it ends
    seconds = 400 * 0.25
    assert seconds / LINE_SECONDS - 1 <= inside <= seconds / LINE_SECONDS + 1
    assert all(line.startswith("step") or line.startswith("waiting") for line in lines)
    assert "\x1b" not in text.getvalue()


def test_one_live_panel_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    made, text, now = view(monkeypatch, terminal=True)
    with made:
        for step in range(1, 50):
            now[0] += 0.25
            made.stepped(step, {"loss": 1.0, "lr": 1e-3}, 10.0)
        made._live.refresh()
        assert "step " not in text.getvalue()  # the panel alone, no lines
        assert "tiny" in text.getvalue()
    assert text.getvalue().rstrip().splitlines()[-1].count("step       49/1,000") == 1


def test_the_panel_shows_a_metric_that_nobody_has_told_it_of(monkeypatch: pytest.MonkeyPatch) -> None:
    made, text, _ = view(monkeypatch, terminal=True)
    with made:
        made.stepped(1, {"kind": "train", "step": 1, "loss": 1.0, "lr": 1e-3, "new_metric": 0.25, "empty": None}, 10.0)
        made._live.refresh()
        assert "new_metric 0.25" in text.getvalue()
        assert text.getvalue().count("lr 0.001") == 1
        assert "empty" not in text.getvalue()


def test_kinds_are_told_apart_and_the_last_that_is_known_of_each_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    made, text, _ = view(monkeypatch, terminal=True)
    shares = {"exact_accuracy": 0.5, "accuracy": 0.75, "picture_accuracy": 0.25, "text_bits": 2.5}
    with made:
        made.stepped(1, {"loss": 1.0, "lr": 1e-3, **shares}, 10.0)
        made.stepped(2, {"loss": 1.0, "lr": 1e-3, **dict.fromkeys(shares)}, 10.0)
        made._live.refresh()
        assert "exact 50.0%  token 75.0%  halt -  pictures 25.0%  text 2.50 bits" in text.getvalue()
    assert "pictures 25.0%  text 2.50 bits" in text.getvalue().splitlines()[-1]
