"""Train a model, or continue its run, with a line of progress that suits a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trm_cli.units import duration
from trm_cli.workflows.observers import TrainingObserver, TrainingResult, TrainingStart

if TYPE_CHECKING:
    from pathlib import Path

    from trm_cli.config.compose import Resolved
    from trm_cli.data.building.builder_process import BuildProgress
    from trm_cli.evaluation.scores.accuracy import Accuracy
    from trm_cli.training.recording.observer import Observer

Callback = Callable[[int, dict[str, Any]], None]
_SECONDS = 0.5  # between two states of the line


def train(
    model: Resolved | str,
    *overrides: str,
    callback: Callback | None = None,
    observer: TrainingObserver | None = None,
    stop_at_step: int | None = None,
    fresh: bool = False,
    replan: bool = False,
) -> TrainingResult:
    """Build the dataset if it is missing, then train, or continue the run in `checkpoint_path`.

    callback: receives (step, record) of each update that is logged. observer: receives every event instead of the line
    of progress. Ctrl-C (an interrupted cell) saves and stops; the same call continues. `.run` of the result is the
    directory of the run, for `load`. Raises TrmError.
    """
    from trm_cli.api.configuration import compose
    from trm_cli.workflows.train.train import TrainRequest, run_training

    resolved = compose(model, *overrides) if isinstance(model, str) else model
    request = TrainRequest(stop_at_step=stop_at_step, fresh=fresh, replan=replan)
    return run_training(resolved, request, observer or ProgressLine(callback))


class ProgressLine(TrainingObserver):
    """Writes one line of progress on stderr, again and again in its place, and one for each evaluation."""

    def __init__(self, callback: Callback | None = None) -> None:
        self._callback = callback
        self._shown = 0.0
        self._started = self._first = self._last = 0.0

    def build_progress(self, report: BuildProgress) -> None:
        """Write how far the dataset is."""
        self._write(f"building the dataset: {report.done:,} of {report.total:,} {report.unit}")

    @contextmanager
    def training(self, start: TrainingStart) -> Iterator[Observer]:
        """Write the line while the loop runs."""
        self._started, self._first, self._last = time.monotonic(), start.first_step, start.last_step
        yield self
        self._end()

    def stepped(self, step: int, record: dict[str, Any] | None, samples_per_second: float | None) -> None:
        """Write how far the training is."""
        if record is None:
            return
        if self._callback is not None:
            self._callback(step, record)
        seconds = time.monotonic() - self._started
        left = duration(seconds * (self._last - step) / max(1, step - self._first))
        speed = f"  {samples_per_second:,.0f} samples/s" if samples_per_second else ""
        self._write(f"step {step:,}/{self._last:,.0f}  loss {record.get('loss', 0.0):.4g}{speed}  ETA {left}")

    def evaluated(self, step: int, result: Accuracy, best: bool) -> None:
        """Write the accuracy on a line of its own."""
        measured = f"{result.judged_by.replace('_', ' ')} {getattr(result, result.judged_by):.4g}"
        self._end(f"step {step:,}: {measured}{', the best so far' if best else ''}")

    def waiting(self, message: str) -> None:
        """Write what is waited for."""
        self._end(message)

    def note(self, message: str) -> None:
        """Write a message."""
        self._end(message)

    def continuing(self, run: Path, step: int) -> None:
        """Write where the run goes on."""
        self._end(f"continuing {run} after step {step:,}")

    def _write(self, text: str) -> None:
        now = time.monotonic()
        if now - self._shown >= _SECONDS:
            self._shown = now
            sys.stderr.write(f"\r{text:<78}")
            sys.stderr.flush()

    def _end(self, text: str = "") -> None:
        """Leave the line, and write another below it."""
        sys.stderr.write(f"\r{text:<78}\n" if text else "\n")
        self._shown = 0.0
