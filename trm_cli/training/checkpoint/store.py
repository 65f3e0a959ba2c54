"""The checkpoints of one run directory: which there are, which is the newest whole one, and which may go.

Order of a save, and what would break without it: the new file is durable before `latest.pt` names it (or a crash leaves
a link to nothing), and `latest.pt` names it before an old file is deleted (or a crash leaves a run without any).
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any

from trm_cli.data.files.durable import sync_directory, write_atomically
from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint.checkpoint_file import (
    delete_checkpoint,
    load_checkpoint,
    load_shared,
    save_checkpoint,
)
from trm_cli.training.checkpoint.checksummed_file import read_summary, save_file
from trm_cli.training.checkpoint.disk_space import require_disk_space, require_free_bytes
from trm_cli.training.checkpoint.shards import Parts, folder_of, part_path

_STEP_FILE = re.compile(r"^step_(\d{8,})\.pt$")
_PART_FOLDERS = "step_*.parts"
_LEFT_BEHIND = (".step_*.pt.tmp", ".latest.pt.*.tmp", ".best.pt.*.tmp")
#: How the folders begin in which a checkpoint is put together.
SCRATCH = ".consolidating-"
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
        require_disk_space(self.directory, state)
        return self._commit(step, state, summary, best=best)

    def begin_parts(self, step: int, size: int) -> str:
        """Prepare for the parts of a checkpoint, `size` bytes in all; returns how their names begin. Raises OSError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._clear_remains()
        require_free_bytes(self.directory, size)
        folder_of(self.path(step)).mkdir(exist_ok=True)
        sync_directory(self.directory)
        return uuid.uuid4().hex[:8]

    def save_part(
        self, step: int, save: str, rank: int, state: dict[str, Any], summary: dict[str, Any]
    ) -> tuple[int, str]:
        """Write the part of one process, which is nothing before it is committed: (bytes, digest). Raises OSError."""
        path = part_path(self.path(step), save, rank)
        digest = save_file(path, state, summary)
        return path.stat().st_size, digest

    def commit_parts(
        self, step: int, state: dict[str, Any], summary: dict[str, Any], parts: Parts, *, best: bool
    ) -> None:
        """Make a checkpoint of parts that are written, and point the links at it as `save` does. Raises OSError."""
        for path, size in zip(parts.paths(self.path(step)), parts.sizes, strict=True):
            if not path.exists() or path.stat().st_size != size:
                raise OSError(f"{path} is not there: all machines of a sharded run must see one run directory")
        self._commit(step, state, {**summary, "parts": parts.to_json()}, best=best)

    def _commit(self, step: int, state: dict[str, Any], summary: dict[str, Any], *, best: bool) -> Path:
        path = self.path(step)
        save_checkpoint(path, state, {**summary, "step": step})
        self._point(LATEST, path)
        if best:
            self._point(BEST, path)
        return path

    def load(self, step: int, *, joined: bool = True) -> tuple[dict[str, Any], dict[str, Any], Path]:
        """Load the checkpoint of a step: (state, summary, path). Raises CheckpointError unless it is whole and ours.

        joined: with its parts put together, where it has some; otherwise `with_parts` adds them to the state.
        """
        path = self.path(step)
        state, summary = (load_checkpoint if joined else load_shared)(path)
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

    def load_newest(
        self, notify: Callable[[str], None], *, joined: bool = True
    ) -> tuple[dict[str, Any], dict[str, Any], Path] | None:
        """Load the newest whole checkpoint, as `load` does; None where the run has none yet.

        Damaged ones on the way, and those of another run, are named through `tell` and left alone. Raises
        CheckpointError where files exist but none is whole: starting again in silence would throw the run away.
        """
        steps = self.steps()
        refused = []
        for step in reversed(steps):
            try:
                found = self.load(step, joined=joined)
            except CheckpointError as error:
                refused.append(step)
                notify(error.message)
                continue
            if refused:
                notify(f"continuing from step {step:,}; the work up to step {max(refused):,} will be done again")
            return found
        if steps:
            raise CheckpointError(
                f"{self.directory} has {len(steps)} checkpoint file(s) and none is whole",
                hint="restore one from a copy, or start again with `trm train --fresh`",
            )
        return None

    def prune(self) -> None:
        """Delete what need not be kept. Raises OSError where the disk fails; what is kept is not in danger then."""
        self.clear_parts()
        keep = {*self.steps()[-self.keep :], self.best_step(), self.latest_step()}
        for step in self.steps():
            if step not in keep and step not in self.milestones:
                delete_checkpoint(self.path(step))

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
            path = self.path(step)
            delete_checkpoint(folder / path.name)  # set aside before; a folder of parts does not give way by itself
            if folder_of(path).is_dir():  # first: parts without an index would be taken for remains
                folder_of(path).replace(folder / folder_of(path).name)
            path.replace(folder / path.name)
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
        for folder in self.directory.glob(f"{SCRATCH}*"):
            shutil.rmtree(folder)
        self.clear_parts()

    def clear_parts(self) -> None:
        """Delete the parts that no index lists; those of an index that cannot be read stay."""
        for folder in self.directory.glob(_PART_FOLDERS):
            index = folder.with_suffix(".pt")
            if _STEP_FILE.match(index.name) is None:
                continue
            try:
                listed = Parts.of(read_summary(index), index) if index.exists() else None
            except CheckpointError:
                continue
            if listed is None:
                shutil.rmtree(folder)
                continue
            for path in set(folder.iterdir()) - {folder / path.name for path in listed.paths(index)}:
                path.unlink()
