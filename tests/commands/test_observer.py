"""`run_training` tells an observer of a few methods what happens, and returns how it ended; nothing is printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.boards import write_boards
from tests.support.runs import TINY_RUN
from trm_cli.config.compose import Resolved, compose
from trm_cli.errors import ExitCode
from trm_cli.schedule.plan import TrainingPlan
from trm_cli.workflows.observers import Outcome, TrainingObserver
from trm_cli.workflows.train.train import TrainRequest, run_training


class Listener(TrainingObserver):
    """Writes down some of what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def planned(self, resolved: Resolved, plan: TrainingPlan) -> None:
        self.told.append(f"plan of {plan.total_steps} steps")

    def continuing(self, run: Path, step: int) -> None:
        self.told.append(f"continuing after {step}")

    def setting_aside(self, run: Path, from_step: int, newer: Sequence[int]) -> None:
        self.told.append(f"from {from_step}, giving up {list(newer)}")

    def saved(self, step: int, path: Path, seconds: float) -> None:
        self.told.append(f"saved {step}")


def test_a_training_without_a_screen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    words = [f"data_paths=[{write_boards(tmp_path / 'data')}]", f"checkpoint_path={run}", *TINY_RUN]
    resolved = compose("sudoku-4x4", words)

    listener = Listener()
    result = run_training(resolved, TrainRequest(dry_run=True), listener)
    assert (result.outcome, result.exit_code, run.exists()) == (Outcome.PLANNED, ExitCode.DONE, False)
    [plan] = listener.told
    total = int(plan.split()[2])

    stopped = run_training(resolved, TrainRequest(stop_at_step=2), listener := Listener())
    assert (stopped.outcome, stopped.step, stopped.run) == (Outcome.STOPPED_AS_ASKED, 2, run)
    assert listener.told == [plan, "saved 2"]

    done = run_training(resolved, observer=(listener := Listener()))
    assert (done.outcome, done.step, done.total_steps) == (Outcome.FINISHED, total, total)
    assert listener.told[:2] == [plan, "continuing after 2"]

    again = run_training(resolved)
    assert again.outcome is Outcome.ALREADY_COMPLETE and again.best_step > 0

    shown = capfd.readouterr()
    assert (shown.out, shown.err) == ("", "")
