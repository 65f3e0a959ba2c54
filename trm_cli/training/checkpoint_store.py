"""The checkpoints of one run directory: which there are, which is the newest whole one, and which may go.

Order of a save, and what would break without it: the new file is durable before `latest.pt` names it (or a crash leaves
a link to nothing), and `latest.pt` names it before an old file is deleted (or a crash leaves a run without any).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any

from trm_cli.data.durable import sync_directory, write_atomically
from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint_file import load_checkpoint, save_checkpoint
from trm_cli.training.room import require_room

_STEP_FILE = re.compile(r"^step_(\d{8,})\.pt$")
_LEFT_BEHIND = (".step_*.pt.tmp", ".latest.pt.*.tmp", ".best.pt.*.tmp")
LATEST = "latest.pt"
BEST = "best.pt"
DISCARDED = "discarded"


class CheckpointStore:
    """The checkpoint files of one run directory."""

    def __init__(
        self, directory: Path, *, keep: int = 1, milestones: Container[int] = (), run: str | None = None
    ) -> None:
        """keep: how many of the newest checkpoints stay, at least 1; the best one stays as well, and `milestones`.

        run: the id of the run that owns the directory; checkpoints of another one are refused. None: nobody knows.
        """
        self.directory = directory
        self.keep = max(1, keep)
        self.milestones = milestones
        self.run = run

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step lies."""
        return self.directory / f"step_{step:08d}.pt"

    def steps(self) -> list[int]:
        """The steps that have a file, oldest first, whole or not."""
        if not self.directory.is_dir():
            return []
        found = (_STEP_FILE.match(entry.name) for entry in self.directory.iterdir())
        return sorted(int(match.group(1)) for match in found if match)

    def save(self, step: int, state: dict[str, Any], summary: dict[str, Any], *, best: bool) -> Path:
        """Write the checkpoint of `step` and point `latest.pt` (and `best.pt`) at it; nothing older is touched.

        Raises OSError where the disk fails or has no room; every older checkpoint is then still there.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self._clear_remains()
        require_room(self.directory, state)
        path = self.path(step)
        save_checkpoint(path, state, {**summary, "step": step})
        self._point(LATEST, path)
        if best:
            self._point(BEST, path)
        return path

    def load(self, step: int) -> tuple[dict[str, Any], dict[str, Any], Path]:
        """Load the checkpoint of a step: (state, summary, path). Raises CheckpointError unless it is whole and ours."""
        path = self.path(step)
        state, summary = load_checkpoint(path)
        self.require_own(path, step, summary)
        if state.get("step") != step:
            raise CheckpointError(f"{path} is damaged: it holds step {state.get('step')}")
        return state, summary, path

    def require_own(self, path: Path, step: int, summary: dict[str, Any]) -> None:
        """Raise CheckpointError for a file under another step's name, or of another run."""
        if self.run is not None and summary.get("run") != self.run:
            raise CheckpointError(
                f"{path} belongs to another run: {summary.get('run')}, where {self.run} is at home",
                hint="to start from it, name it as load_checkpoint= of a run directory of its own",
            )
        if summary.get("step") != step:
            raise CheckpointError(f"{path} is damaged: it holds step {summary.get('step')}")

    def load_newest(self, tell: Callable[[str], None]) -> tuple[dict[str, Any], dict[str, Any], Path] | None:
        """Load the newest whole checkpoint: (state, summary, path); None where the run has none yet.

        Damaged ones on the way, and those of another run, are named through `tell` and left alone. Raises
        CheckpointError where files exist but none is whole: starting again in silence would throw the run away.
        """
        steps = self.steps()
        refused = []
        for step in reversed(steps):
            try:
                found = self.load(step)
            except CheckpointError as error:
                refused.append(step)
                tell(error.message)
                continue
            if refused:
                tell(f"continuing from step {step:,}; the work up to step {max(refused):,} will be done again")
            return found
        if steps:
            raise CheckpointError(
                f"{self.directory} has {len(steps)} checkpoint file(s) and none is whole",
                hint="restore one from a copy, or start again with `trm train --fresh`",
            )
        return None

    def prune(self) -> None:
        """Delete what need not be kept. Raises OSError where the disk fails; what is kept is not in danger then."""
        keep = {*self.steps()[-self.keep :], self.best_step(), self.latest_step()}
        for step in self.steps():
            if step not in keep and step not in self.milestones:
                self.path(step).unlink()

    def point_latest(self, step: int) -> None:
        """Make `latest.pt` name a step that has a file."""
        self._point(LATEST, self.path(step))

    def point_best(self, step: int) -> None:
        """Make `best.pt` name the best step that a state remembers: a kill may have come between the two."""
        if step and step != self.best_step() and self.path(step).exists():
            self._point(BEST, self.path(step))

    def unlink_best(self) -> None:
        """Remove `best.pt`: what it named is not part of the run any more."""
        (self.directory / BEST).unlink(missing_ok=True)
        sync_directory(self.directory)

    def set_aside(self, steps: Sequence[int], *others: Path) -> None:
        """Move the checkpoints of `steps` to `discarded/`, newest first, and leave a copy of `others` with them."""
        folder = self.directory / DISCARDED
        folder.mkdir(exist_ok=True)
        for path in others:
            write_atomically(folder / path.name, path.read_bytes())
        for step in sorted(steps, reverse=True):
            self.path(step).replace(folder / self.path(step).name)
        sync_directory(folder)
        sync_directory(self.directory)

    def best_step(self) -> int | None:
        """The step that `best.pt` points at."""
        return self._linked_step(BEST)

    def latest_step(self) -> int | None:
        """The step that `latest.pt` points at."""
        return self._linked_step(LATEST)

    def _linked_step(self, name: str) -> int | None:
        link = self.directory / name
        if not link.is_symlink():
            return None
        match = _STEP_FILE.match(link.readlink().name)
        return int(match.group(1)) if match else None

    def _point(self, name: str, target: Path) -> None:
        """Switch a link in one step: a reader sees the old target or the new one, never none."""
        temporary = self.directory / f".{name}.{os.getpid()}.tmp"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target.name)
        temporary.replace(self.directory / name)
        sync_directory(self.directory)

    def _clear_remains(self) -> None:
        """Delete the half-written files of a process that was killed: they take the room that the next one needs."""
        for pattern in _LEFT_BEHIND:
            for path in self.directory.glob(pattern):
                path.unlink(missing_ok=True)
