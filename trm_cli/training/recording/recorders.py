"""Where a run writes, besides its checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trm_cli.training.recording.loggers import GuardedLogger
from trm_cli.training.recording.metrics_log import JsonLines, Nowhere


@dataclass(frozen=True)
class RunRecorders:
    """summary: what every checkpoint says of itself. metrics, timings: the records of the run. sinks: loggers."""

    summary: dict[str, Any]
    metrics: JsonLines | Nowhere
    timings: JsonLines | Nowhere
    loggers: list[GuardedLogger]


#: Of a process that is not the first one of its run.
NO_RECORDERS = RunRecorders({}, Nowhere(), Nowhere(), [])
