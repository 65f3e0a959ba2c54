"""One run on disk: its configuration, its plan, who it is, and the lock that keeps two processes from writing it."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trm_cli.data.durable import write_atomically
from trm_cli.errors import CheckpointError

CONFIG = "config.yaml"
PLAN = "plan.json"
IDENTITY = "run.json"
METRICS = "metrics.jsonl"
TIMINGS = "timings.jsonl"


@dataclass(frozen=True)
class RunDirectory:
    """The folder `checkpoints/<run>/`."""

    path: Path

    @property
    def config_path(self) -> Path:
        """The resolved configuration of the run."""
        return self.path / CONFIG

    @property
    def metrics_path(self) -> Path:
        """The deterministic record of the run."""
        return self.path / METRICS

    @property
    def timings_path(self) -> Path:
        """How fast the run went."""
        return self.path / TIMINGS

    def exists(self) -> bool:
        """Whether a run was started here."""
        return self.config_path.exists()

    def begin(self, *, config: str, plan: dict[str, Any], dataset: dict[str, Any]) -> dict[str, Any]:
        """Write who the run is; returns its identity. Keeps the identity where the run exists already."""
        self.path.mkdir(parents=True, exist_ok=True)
        identity = (
            self.identity() if (self.path / IDENTITY).exists() else {"run": uuid.uuid4().hex[:12], "dataset": dataset}
        )
        write_atomically(self.path / IDENTITY, _json(identity))
        write_atomically(self.path / PLAN, _json(plan))
        # config.yaml last: its presence says that the run directory is complete.
        write_atomically(self.config_path, config.encode())
        return identity

    def identity(self) -> dict[str, Any]:
        """The run's id and the dataset that it was started on. Raises CheckpointError when the file is damaged."""
        path = self.path / IDENTITY
        try:
            identity = json.loads(path.read_text())
            return {"run": str(identity["run"]), "dataset": dict(identity["dataset"])}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is missing or damaged, so this is not a whole run directory") from error


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()
