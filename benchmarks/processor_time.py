"""Processor seconds that a training has taken, counted over several processes."""

from __future__ import annotations

import json
import time
from pathlib import Path

from trm_cli.data.files.durable import atomic_file


class ProcessorTime:
    """Seconds of all threads of this process since `start`, and of earlier processes up to what they saved."""

    def __init__(self, before: float = 0.0) -> None:
        self._before = before
        self._started = time.process_time()

    def start(self, before: float) -> None:
        """Count from here on, on top of `before`."""
        self._before, self._started = before, time.process_time()

    @property
    def seconds(self) -> float:
        """So far."""
        return self._before + time.process_time() - self._started


class SavedSeconds:
    """The seconds at each checkpoint of a run, in a file beside it: a killed run continues from where it was saved."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[str, float] = json.loads(path.read_text()) if path.is_file() else {}

    def at(self, step: int) -> float:
        """What the run had taken at a step that was saved; 0 where it was not."""
        return self._found.get(str(step), 0.0)

    def save(self, step: int, seconds: float) -> None:
        """Note what a run has taken at a step."""
        self._found[str(step)] = round(seconds, 3)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(self._path) as stream:
            stream.write(json.dumps(self._found).encode())
