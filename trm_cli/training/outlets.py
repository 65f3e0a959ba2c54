"""Where a run writes, besides its checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trm_cli.training.metrics_log import JsonLines, Nowhere
from trm_cli.training.sinks import Guarded


@dataclass(frozen=True)
class Outlets:
    """summary: what every checkpoint says of itself. metrics, timings: the records of the run. sinks: loggers."""

    summary: dict[str, Any]
    metrics: JsonLines | Nowhere
    timings: JsonLines | Nowhere
    sinks: list[Guarded]


#: Of a process that is not the first one of its run.
NOTHING_WRITTEN = Outlets({}, Nowhere(), Nowhere(), [])
