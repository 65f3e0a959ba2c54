"""The checkpoints of one run directory: which there are, which is the newest whole one, and which may go.

Order of a save, and what would break without it: the new file is durable before `latest.pt` names it (or a crash leaves
a link to nothing), and `latest.pt` names it before an old file is deleted (or a crash leaves a run without any).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trm_cli.data.durable import sync_directory
from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint_file import load_checkpoint, save_checkpoint

_STEP_FILE = re.compile(r"^step_(\d{8,})\.pt$")
LATEST = "latest.pt"
BEST = "best.pt"


class CheckpointStore:
    """The checkpoint files of one run directory."""

    def __init__(self, directory: Path, *, keep: int) -> None:
        """keep: how many of the newest checkpoints stay, at least 1; the best one stays as well."""
        self.directory = directory
        self.keep = max(1, keep)

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
        """Write the checkpoint of `step`, point `latest.pt` (and `best.pt`) at it, then drop what need not be kept.

        Raises OSError where the disk fails; every older checkpoint is then still there.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.path(step)
        save_checkpoint(path, state, {**summary, "step": step})
        self._point(LATEST, path)
        if best:
            self._point(BEST, path)
        self._prune(protected=path)
        return path

    def load_newest(self, tell: Callable[[str], None]) -> tuple[dict[str, Any], dict[str, Any], Path] | None:
        """Load the newest whole checkpoint: (state, summary, path); None where the run has none yet.

        Damaged ones on the way are named through `tell` and left alone. Raises CheckpointError where files exist but
        none is whole: starting again in silence would throw the run away.
        """
        steps = self.steps()
        damaged = []
        for step in reversed(steps):
            path = self.path(step)
            try:
                state, summary = load_checkpoint(path)
                if summary.get("step") != step or state.get("step") != step:
                    raise CheckpointError(f"{path} is damaged: it holds step {summary.get('step')}")
            except CheckpointError as error:
                damaged.append(step)
                tell(error.message)
                continue
            if damaged:
                tell(f"continuing from step {step:,}; the work up to step {max(damaged):,} will be done again")
            return state, summary, path
        if steps:
            raise CheckpointError(
                f"{self.directory} has {len(steps)} checkpoint file(s) and none is whole",
                hint="restore one from a copy, or start again with `trm train --fresh`",
            )
        return None

    def point_best(self, step: int) -> None:
        """Make `best.pt` name the best step that a state remembers: a kill may have come between the two."""
        if step and step != self.best_step() and self.path(step).exists():
            self._point(BEST, self.path(step))

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

    def _prune(self, protected: Path) -> None:
        keep = {self.path(step) for step in self.steps()[-self.keep :]} | {protected}
        best = self.best_step()
        if best is not None:
            keep.add(self.path(best))
        for step in self.steps():
            if self.path(step) not in keep:
                self.path(step).unlink()
