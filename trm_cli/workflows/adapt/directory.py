"""The run that an adaptation works in: found again by the source's weights, the tasks and the settings.

`adapt.json` says what it is for, `progress.json` how far it has come, `clock.json` the seconds used, `submission.json`
is the submission so far and `result.json` the result.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from trm_cli.data.files.durable import claimed_directory, write_atomically
from trm_cli.data.files.json_file import read_json
from trm_cli.errors import CheckpointError, DatasetError, writing

PURPOSE, PROGRESS, CLOCK = "adapt.json", "progress.json", "clock.json"
SUBMISSION, RESULT = "submission.json", "result.json"
TASKS, DATA, VOTES, PROBE = "tasks", "data", "votes", "probe"


@dataclass(frozen=True)
class AdaptDirectory:
    """The directory of an adaptation."""

    path: Path

    @property
    def begun(self) -> bool:
        """Whether an earlier call has begun this adaptation."""
        return (self.path / PURPOSE).is_file()

    def held(self) -> AbstractContextManager[None]:
        """Lock it for this process. Raises CheckpointError while another process works here."""
        return claimed_directory(
            self.path / TASKS,  # the training locks the directory itself
            f"{self.path} is being worked in",
            error=CheckpointError,
            busy_hint="wait for it to end, or stop it: this one then continues where it stopped",
            disk_hint="adapt works in checkpoints/ of the working directory",
        )

    def read(self, name: str) -> dict[str, Any]:
        """Read one of its documents; empty where there is none."""
        with suppress(DatasetError):
            document = read_json(self.path / name)
            if isinstance(document, dict):
                return document
        return {}

    def write(self, name: str, document: object) -> Path:
        """Write one of its documents. Raises CheckpointError."""
        return write_document(self.path / name, document)

    def note(self, **progress: object) -> None:
        """Add to the progress."""
        self.write(PROGRESS, {**self.read(PROGRESS), **progress})


def find_directory(runs: Path, source: str, tasks: str, purpose: dict[str, Any]) -> AdaptDirectory:
    """The directory in `runs` that was begun for this purpose, else the first free one of its name."""
    name = f"{source}-adapt-{tasks}"
    for number in count(1):
        found = AdaptDirectory(runs / (name if number == 1 else f"{name}-{number}"))
        if not found.path.exists() or found.read(PURPOSE) == purpose or not any(found.path.iterdir()):
            return found
    raise AssertionError("there is always a free name")


def write_document(path: Path, document: object) -> Path:
    """Write a JSON document atomically. Raises CheckpointError."""
    with writing(path, instead="another place"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(document) + "\n").encode())
    return path
