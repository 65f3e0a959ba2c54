"""One run on disk: its configuration, its plan, who it is, and the lock that keeps two processes from writing it."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Container, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trm_cli.data.files.durable import DirectoryBusy, held_directory, write_atomically
from trm_cli.errors import CheckpointError, writing
from trm_cli.schedule.plan import TrainingPlan
from trm_cli.training.checkpoint.store import CheckpointStore

CONFIG = "config.yaml"
PLAN = "plan.json"
IDENTITY = "run.json"
METRICS = "metrics.jsonl"
TIMINGS = "timings.jsonl"
MEMORY = "memory.json"
NONFINITE = "nonfinite-*.pt"


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

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from training this run. Raises CheckpointError when one does already."""
        with ExitStack() as stack:
            try:
                with self.writing():
                    stack.enter_context(held_directory(self.path))
            except DirectoryBusy as error:
                raise CheckpointError(
                    f"{self.path} is being trained by another process (id {error.holder})",
                    hint="wait for it to end, stop it, or choose another checkpoint_path",
                ) from error
            yield

    def writing(self) -> AbstractContextManager[None]:
        """Within the block a disk that refuses becomes a CheckpointError."""
        return writing(self.path, hint="free some room there, or choose another checkpoint_path")

    def store(self, *, keep: int = 1, milestones: Container[int] | None = None) -> CheckpointStore:
        """The checkpoints of this run, which knows its own. Raises CheckpointError where run.json is damaged."""
        run = self.identity()["run"] if (self.path / IDENTITY).exists() else None
        store = CheckpointStore(self.path, keep=keep, milestones=milestones or (), run=run)
        if run is None and store.steps():
            raise CheckpointError(
                f"{self.path} holds checkpoints, but no {IDENTITY} that says whose they are",
                hint=f"restore {IDENTITY}, or start from one of them in another directory: load_checkpoint=FILE",
            )
        return store

    def milestones(self) -> Container[int]:
        """The steps whose checkpoints are kept for good. Raises CheckpointError where plan.json is damaged."""
        path = self.path / PLAN
        try:
            return TrainingPlan.from_json(json.loads(path.read_text())).milestones or ()
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path} is missing or damaged, so this is not a whole run directory") from error

    def begin(self, *, config: str, plan: dict[str, Any], dataset: dict[str, Any], threads: int) -> dict[str, Any]:
        """Write who the run is; returns its identity, which is kept once there is a checkpoint that says the same.

        Before that the run begins now, under its old name where it has one, on the dataset that is there now.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        name = self.identity()["run"] if (self.path / IDENTITY).exists() else None
        if name is None or not CheckpointStore(self.path).steps():
            # Relative paths of the configuration start here; itself relative, since a tree may move as a whole.
            here = os.path.relpath(Path.cwd(), self.path.resolve())
            new = {"run": name or uuid.uuid4().hex[:12], "dataset": dataset, "threads": threads, "started_in": here}
            write_atomically(self.path / IDENTITY, _json(new))
        write_atomically(self.path / PLAN, _json(plan))
        # config.yaml last: its presence says that the run directory is complete.
        write_atomically(self.config_path, config.encode())
        return self.identity()

    def elsewhere(self, paths: Sequence[str]) -> list[str] | None:
        """Relative `paths` that are missing here, as they were seen from where the run was started; None otherwise."""
        if not paths or all(Path(path).exists() for path in paths):
            return None
        try:
            started_in = json.loads((self.path / IDENTITY).read_text())["started_in"]
        except (OSError, ValueError, KeyError, TypeError):
            return None  # a run of an older trm did not note it
        then = [os.path.normpath(self.path.resolve() / started_in / path) for path in paths]
        return then if all(Path(path).exists() for path in then) else None

    def identity(self) -> dict[str, Any]:
        """The run's id, its dataset and its CPU threads. Raises CheckpointError when the file is damaged."""
        path = self.path / IDENTITY
        try:
            identity = json.loads(path.read_text())
            return {
                "run": str(identity["run"]),
                "dataset": dict(identity["dataset"]),
                "threads": int(identity["threads"]),
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} is missing or damaged, so this is not a whole run directory") from error


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()
