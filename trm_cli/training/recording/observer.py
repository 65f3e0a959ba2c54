"""The interface through which a run reports its progress."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trm_cli.evaluation.scores.accuracy import Accuracy


class Observer:
    """Receives the events of a run and does nothing; a subclass overrides what it wants. The loop never waits."""

    def stepped(self, step: int, record: dict[str, Any] | None, samples_per_second: float | None) -> None:
        """An update is done; `record` is there when it was logged."""

    def evaluating(self, rows: int) -> None:
        """An evaluation has scored so many rows."""

    def evaluated(self, step: int, result: Accuracy, best: bool) -> None:
        """An evaluation is complete."""

    def saved(self, step: int, path: Path, seconds: float) -> None:
        """A checkpoint is durable."""

    def waiting(self, message: str) -> None:
        """Training waits for data that is still being built."""

    def note(self, message: str) -> None:
        """A message for the user."""
