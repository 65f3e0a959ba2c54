"""The queue of Optuna's trials: how often it reads the logs of running trials, and how one that is given up ends."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from trm_cli.errors import ExitCode
from trm_cli.workflows.sweep import study
from trm_cli.workflows.sweep.definition import read_sweep

pytest.importorskip("optuna")


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> study.StudyQueue:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "sweep.yaml"
    path.write_text("model: sudoku-4x4\nmethod: optuna\ntrials: 4\nsearch:\n  lr: {low: 1e-4, high: 1e-2, log: true}\n")
    Path("checkpoints/sweep").mkdir(parents=True)
    return study.StudyQueue(read_sweep(path), None)


def test_a_running_trial_is_read_once_a_second_however_often_it_is_asked(
    queue: study.StudyQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, read = [100.0], list[str]()
    monkeypatch.setattr(study.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(study, "evaluations", lambda run, objective: read.append(run.name) or [])
    first, second = (queue.following([]) for _ in range(2))
    assert first is not None
    assert second is not None
    for _ in range(50):
        queue.is_enough(first)
        queue.is_enough(second)
        now[0] += 0.05
    assert [read.count(job.path.name) for job in (first, second)] == [3, 3]


@pytest.mark.parametrize("code", [ExitCode.TERMINATED, ExitCode.DONE, -signal.SIGTERM])
def test_a_trial_that_is_given_up_is_no_failure_however_it_ends(queue: study.StudyQueue, code: int) -> None:
    job = queue.following([])
    assert job is not None
    queue._pruned.add(study.number_of(job.path))
    assert queue.ended(job, code) == ExitCode.DONE
    assert [frozen.state.name for frozen in queue.study.trials] == ["PRUNED"]
