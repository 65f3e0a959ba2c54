"""The directory of a run: its configuration, plan, identity and checkpoints, and the lock against a second process."""

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
from trm_cli.data.files.json_file import read_json
from trm_cli.errors import CheckpointError, writing
from trm_cli.paths import exists
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.run_files import CONFIG, IDENTITY, PLAN, read_identity


@dataclass(frozen=True)
class RunDirectory:
    """The folder `checkpoints/<run>/`."""

    path: Path

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the run against other processes. Raises CheckpointError when another one trains it."""
        with ExitStack() as stack:
            try:
                with self.writing():
                    stack.enter_context(held_directory(self.path, tidy=True))
            except DirectoryBusy as error:
                raise CheckpointError(
                    f"{self.path} is being trained by another process (id {error.holder})",
                    hint="wait for it to end, stop it, or choose another checkpoint_path",
                ) from error
            yield

    def writing(self) -> AbstractContextManager[None]:
        """Within the block an OSError of the disk becomes a CheckpointError."""
        return writing(self.path, instead="another checkpoint_path")

    def store(self, *, keep: int = 1, milestones: Container[int] | None = None) -> CheckpointStore:
        """The checkpoint store of this run. Raises CheckpointError where run.json is damaged."""
        run = read_identity(self.path)["run"] if exists(self.path / IDENTITY) else None
        store = CheckpointStore(self.path, keep=keep, milestones=milestones or (), run=run)
        if run is None and store.steps():
            raise CheckpointError(
                f"{self.path} holds checkpoints, but no {IDENTITY} that says which run they belong to",
                hint=f"restore {IDENTITY}, or start from one of them in another directory: load_checkpoint=FILE",
            )
        return store

    def begin(self, *, config: str, plan: dict[str, Any], dataset: dict[str, Any], threads: int) -> dict[str, Any]:
        """Write configuration, plan and identity; returns the identity, which is kept once the run has a checkpoint.

        Before that the identity is written anew, with the present dataset; only the run's id is kept.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        name = read_identity(self.path)["run"] if exists(self.path / IDENTITY) else None
        if name is None or not CheckpointStore(self.path).steps():
            # Relative paths of the configuration start here; itself relative, since a tree may move as a whole.
            here = os.path.relpath(Path.cwd(), self.path.resolve())
            new = {"run": name or uuid.uuid4().hex[:12], "dataset": dataset, "threads": threads, "started_in": here}
            write_atomically(self.path / IDENTITY, _json(new))
        write_atomically(self.path / PLAN, _json(plan))
        # config.yaml last: its presence marks the run directory as complete.
        write_atomically(self.path / CONFIG, config.encode())
        return read_identity(self.path)

    def elsewhere(self, paths: Sequence[str]) -> list[str] | None:
        """Resolve relative `paths` that are missing here from where the run was started; None where all are here."""
        if not paths or all(exists(path) for path in paths):
            return None
        try:
            started_in = read_json(self.path / IDENTITY, error=CheckpointError)["started_in"]
        except (CheckpointError, KeyError, TypeError):
            return None  # a run of an older trm did not note it
        then = [os.path.normpath(self.path.resolve() / started_in / path) for path in paths]
        return then if all(exists(path) for path in then) else None


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()
