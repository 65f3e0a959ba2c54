"""Which trial of a sweep is next, and which run together."""

from __future__ import annotations

from pathlib import Path

from trm_cli.workflows.sweep.definition import SweepFile
from trm_cli.workflows.sweep.queues import TrialQueue
from trm_cli.workflows.sweep.trials import Trial, planned_trials

_GIB = 2**30


def _queue(folder: Path, sizes: list[int], free: int | None) -> TrialQueue:
    sweep = SweepFile("sudoku-4x4", str(folder), {"epochs": tuple(range(1, len(sizes) + 1))})

    def needs(trial: Trial) -> tuple[int, int | None]:
        return sizes[trial.number] * _GIB, free

    return TrialQueue(sweep, planned_trials(sweep), needs)


def test_a_trial_waits_until_it_fits_beside_those_that_run(tmp_path: Path) -> None:
    queue = _queue(tmp_path, [4, 4, 5], free=10 * _GIB)
    first = queue.following([])
    assert first is not None and first.name == "trial-000"
    assert queue.following([first]) is None  # 4 + 4 GiB and two processes are more than 85 % of 10
    second = queue.following([])
    assert second is not None and second.name == "trial-001" and queue.following([second]) is None


def test_one_that_never_fits_is_tried_alone_and_unknown_memory_stops_nothing(tmp_path: Path) -> None:
    alone = _queue(tmp_path, [40], free=10 * _GIB).following([])
    assert alone is not None
    queue = _queue(tmp_path, [40, 40], free=None)
    first = queue.following([])
    assert first is not None and queue.following([first]) is not None and queue.following([first]) is None
