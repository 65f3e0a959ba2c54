"""The logs of a run: metrics, timings and the metric loggers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from trm_cli.training.recording.loggers import GuardedLogger
from trm_cli.training.recording.metrics_log import JsonLines


@dataclass(frozen=True)
class RunRecorders:
    """summary: goes into every checkpoint. metrics, timings: the logs of the run; None in every process but the first,
    which logs the same.
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
        """Say so where somebody has deleted or changed the logs meanwhile, and go on."""
        for log in (self.metrics, self.timings):
            if log is not None:
                log.recover(notify)

    def sync(self) -> None:
        """Make all metrics survive a power loss. Raises OSError where the disk fails."""
        if self.metrics is not None:
            self.metrics.sync()
