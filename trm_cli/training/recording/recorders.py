"""The logs of a run: metrics, timings and the metric loggers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from trm_cli.training.recording.loggers import GuardedLogger
from trm_cli.training.recording.metrics_log import JsonLines


@dataclass(frozen=True)
class RunRecorders:
    """The logs and loggers of a run, and the summary that goes into each of its checkpoints.

    metrics, timings: None in every process but the first, since all would log the same.
    """

    summary: dict[str, Any] = field(default_factory=dict)
    metrics: JsonLines | None = None
    timings: JsonLines | None = None
    loggers: Sequence[GuardedLogger] = ()

    def write(self, record: dict[str, Any], timing: dict[str, float], **shown: float) -> None:
        """Log a record, and beside it how long it took. shown: for the loggers alone."""
        step = record["step"]
        if self.metrics is not None and self.timings is not None:
            self.metrics.write(record)
            self.timings.write({"step": step, **timing})
        for logger in self.loggers:
            logger.write(step, {**record, **shown})

    def recover(self, notify: Callable[[str], None]) -> None:
        """Report logs that were deleted or changed meanwhile, and continue them: see `JsonLines.recover`."""
        for log in (self.metrics, self.timings):
            if log is not None:
                log.recover(notify)

    def sync(self) -> None:
        """Make all metrics survive a power loss. Raises OSError where the disk fails."""
        if self.metrics is not None:
            self.metrics.sync()
