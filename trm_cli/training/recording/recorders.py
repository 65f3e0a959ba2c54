"""The logs of a run: metrics, timings and the metric loggers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trm_cli.training.recording.loggers import GuardedLogger
from trm_cli.training.recording.metrics_log import JsonLines, NullLog


@dataclass(frozen=True)
class RunRecorders:
    """summary: goes into every checkpoint. metrics, timings: the logs of the run."""

    summary: dict[str, Any]
    metrics: JsonLines | NullLog
    timings: JsonLines | NullLog
    loggers: list[GuardedLogger]

    def recover(self, notify: Callable[[str], None]) -> None:
        """Say so where somebody has deleted or changed the logs meanwhile, and go on."""
        self.metrics.recover(notify)
        self.timings.recover(notify)


#: For every process but the first one of a run.
NO_RECORDERS = RunRecorders({}, NullLog(), NullLog(), [])
