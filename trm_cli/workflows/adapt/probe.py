"""Measure how long an update and a vote of an adaptation take on this machine."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trm_cli.training.recording.observer import Observer
from trm_cli.workflows.adapt.budget import Probe
from trm_cli.workflows.adapt.request import AdaptObserver
from trm_cli.workflows.observers import TrainingStart

if TYPE_CHECKING:
    from trm_cli.config.compose import Resolved

#: Updates that are timed, at least and at most; the most of the seconds that a probe may take, and seconds at all.
_FEWEST, _MOST_UPDATES = 4, 200
_SHARE, _ENOUGH_SECONDS = 0.4, 60.0
_BATCHES = 2


@dataclass(frozen=True)
class _Timed(Observer):
    """Notes when each update is done."""

    times: list[float]

    def stepped(self, step: int, record: dict[str, Any] | None, samples_per_second: float | None) -> None:
        """An update is done."""
        del step, record, samples_per_second
        self.times.append(time.monotonic())


class _Quiet(AdaptObserver):
    """Shows nothing, and notes when each update, and each batch of votes, is done."""

    def __init__(self) -> None:
        self.updates: list[float] = []
        self.batches: list[tuple[float, int]] = []

    @contextmanager
    def training(self, start: TrainingStart) -> Iterator[Observer]:
        """Time the updates."""
        del start
        self.updates.append(time.monotonic())
        yield _Timed(self.updates)

    @contextmanager
    def voting(self, rows: int) -> Iterator[Any]:
        """Time the batches."""
        del rows
        self.batches.append((time.monotonic(), 0))
        yield self._voted

    def _voted(self, done: int, found: bool) -> None:
        del found
        self.batches.append((time.monotonic(), done))


def probe(
    settings: Resolved, folder: Path, cast: Callable[[Callable[[], bool], AdaptObserver], object], *, seconds: float
) -> Probe | None:
    """Train a few updates and cast a few votes in `folder`, which is deleted. Raises TrmError.

    cast: votes until it is told that these are enough, and reports to an observer. seconds: what it may take; the
    result is None where that is too little for one update.

    The first update and the first batch are slower than the rest: they count only where they are the only ones.
    """
    from trm_cli.workflows.train.train import TrainRequest, run_training

    shutil.rmtree(folder, ignore_errors=True)
    quiet, started = _Quiet(), time.monotonic()
    over, enough = started + seconds, min(_ENOUGH_SECONDS, _SHARE * seconds)

    def timed() -> bool:
        """Whether the updates are enough to go by, or the time is over."""
        now, times = time.monotonic(), quiet.updates
        return now > over or (len(times) > _FEWEST and now - times[1] > enough)

    request = TrainRequest(stop_at_step=_MOST_UPDATES, incremental=False, stop_when=timed, forecast=False)
    result = run_training(settings, request, quiet)
    if not result.step:
        return None
    loading = time.monotonic()
    cast(lambda: len(quiet.batches) > _BATCHES, quiet)
    shutil.rmtree(folder, ignore_errors=True)
    (before, rows), (after, more) = quiet.batches[-2:]
    times = quiet.updates[1:] if len(quiet.updates) > 2 else quiet.updates
    return Probe(
        update=(times[-1] - times[0]) / (len(times) - 1),
        vote=(after - before) / max(1, more - rows),
        loading=quiet.batches[0][0] - loading,
    )
