"""The checkpoints of one run directory: list, save, load the newest valid one, delete old ones.

Order of a save, and what would break without it: the new file is durable before `latest.pt` names it (or a crash leaves
a link to nothing), and `latest.pt` names it before an old file is deleted (or a crash leaves a run without any).
"""

from __future__ import annotations

import logging
import shutil
import uuid
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trm_cli.data.files.durable import sync_directory, write_atomically
from trm_cli.errors import CheckpointError
from trm_cli.training.checkpoint.checkpoint_format import read_file_summary, save_file
from trm_cli.training.checkpoint.checkpoint_io import (
    ShardList,
    delete_checkpoint,
    load_checkpoint,
    shard_folder,
    shard_path,
)
from trm_cli.training.checkpoint.disk_space import checkpoint_bytes, require_free_bytes
from trm_cli.training.checkpoint.pinned_directory import PinnedDirectory
from trm_cli.training.checkpoint.pointers import STEP_FILE, pointed_step, write_pointer
from trm_cli.training.run_files import BEST, DISCARDED, LATEST

_log = logging.getLogger(__name__)
_SHARD_FOLDERS = "step_*.parts"
_TEMPORARY_FILES = (".step_*.pt.tmp", ".latest.pt*.tmp", ".best.pt*.tmp")
#: Prefix of the folders in which the shards of a checkpoint are assembled.
SCRATCH = ".consolidating-"


@dataclass
class CheckpointStore:
    """The checkpoint files of one run directory.

    keep: how many of the newest checkpoints stay, at least 1; the best one stays as well, and `milestones`. run: the id
    of the run that owns the directory; checkpoints of another one are refused. None: unknown.
    """

    directory: Path
    keep: int = 1
    milestones: Container[int] = ()
    run: str | None = None
    _pinned: PinnedDirectory | None = field(default=None, init=False)

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Within the block the directory is known again where somebody moves it. Raises OSError."""
        self._pinned = PinnedDirectory(self.directory)
        try:
            yield
        finally:
            self._pinned.close()
            self._pinned = None

    def moved_from(self) -> Path | None:
        """Where the directory was when it was pinned, if it was moved since; from then on its new place is used.

        Raises CheckpointError where it was deleted.
        """
        if self._pinned is None:
            return None
        place = self._pinned.where()
        if place is None:
            raise CheckpointError(
                f"{self._pinned.path} was deleted while it was being trained: its checkpoints are gone with it, and "
                "nothing more could be saved",
                hint="the command that started it starts it again",
            )
        self.directory = place
        return None if place == self._pinned.path else self._pinned.path

    def path(self, step: int) -> Path:
        """The file of the checkpoint of a step."""
        return self.directory / f"step_{step:08d}.pt"

    def steps(self) -> list[int]:
        """The steps that have a file, oldest first, valid or not."""
        if not self.directory.is_dir():
            return []
        found = (STEP_FILE.match(entry.name) for entry in self.directory.iterdir())
        return sorted(int(match.group(1)) for match in found if match)

    def save(self, step: int, state: dict[str, Any], summary: dict[str, Any], *, best: bool) -> str | None:
        """Write the checkpoint of `step` and point `latest.pt` (and `best.pt`) at it; nothing older is touched.

        Returns None, or why it was saved but not pointed at. Raises OSError where the disk fails or is full; every
        older checkpoint is then still there.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self._delete_temporary_files()
        require_free_bytes(self.directory, checkpoint_bytes(state))
        return self._commit(step, state, summary, best=best)

    def begin_shards(self, step: int, size: int) -> str:
        """Prepare for shards of `size` bytes in all; returns the prefix of their names. Raises OSError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._delete_temporary_files()
        require_free_bytes(self.directory, size)
        shard_folder(self.path(step)).mkdir(exist_ok=True)
        sync_directory(self.directory)
        return uuid.uuid4().hex[:8]

    def save_shard(
        self, step: int, save: str, rank: int, state: dict[str, Any], summary: dict[str, Any]
    ) -> tuple[int, str]:
        """Write the shard of one process, which counts once it is committed: (bytes, checksum). Raises OSError."""
        path = shard_path(self.path(step), save, rank)
        checksum = save_file(path, state, summary)
        return path.stat().st_size, checksum

    def commit_shards(
        self, step: int, state: dict[str, Any], summary: dict[str, Any], shards: ShardList, *, best: bool
    ) -> str | None:
        """Make a checkpoint of shards that are written, and point at it and return as `save` does. Raises OSError."""
        for path, size in zip(shards.paths(self.path(step)), shards.sizes, strict=True):
            if not path.exists() or path.stat().st_size != size:
                raise OSError(f"{path} is not there: all machines of a sharded run must see one run directory")
        return self._commit(step, state, {**summary, "parts": shards.to_json()}, best=best)

    def _commit(self, step: int, state: dict[str, Any], summary: dict[str, Any], *, best: bool) -> str | None:
        path = self.path(step)
        save_file(path, state, {**summary, "step": step})
        # From here on the checkpoint counts: it is found by its name, whatever becomes of the pointers.
        for name in (LATEST, BEST) if best else (LATEST,):
            try:
                write_pointer(self.directory / name, path)
            except OSError as error:
                return f"{name} could not be switched to it ({error.strerror or error})"
        return None

    def load(self, step: int, *, assembled: bool = True) -> tuple[dict[str, Any], dict[str, Any], Path]:
        """Load the checkpoint of a step: (state, summary, path).

        assembled: see `load_checkpoint`. Raises CheckpointError unless it is valid and of this run.
        """
        path = self.path(step)
        state, summary = load_checkpoint(path, assembled=assembled)
        self.require_own(path, step, summary)
        if type(state.get("step")) is not int or state["step"] != step:
            raise CheckpointError(f"{path} is damaged: it holds step {state.get('step')}")
        return state, summary, path

    def require_step(self, step: int) -> None:
        """Raise CheckpointError, which lists the steps that have a file, unless this one has."""
        steps = self.steps()
        if step not in steps:
            listed = ", ".join(f"{other:,}" for other in steps) or "none"
            raise CheckpointError(
                f"{self.directory} has no checkpoint of step {step:,}", hint=f"available steps: {listed}"
            )

    def require_own(self, path: Path, step: int, summary: dict[str, Any]) -> None:
        """Raise CheckpointError for a file under another step's name, or of another run."""
        if self.run is not None and summary.get("run") != self.run:
            raise CheckpointError(
                f"{path} belongs to another run: {summary.get('run')}, not {self.run}",
                hint="to start from it, use load_checkpoint= in another run directory",
            )
        if summary.get("step") != step:
            raise CheckpointError(f"{path} is damaged: it holds step {summary.get('step')}")

    def load_newest(
        self,
        notify: Callable[[str], None],
        *,
        assembled: bool = True,
        check: Callable[[dict[str, Any], dict[str, Any], Path], None] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], Path] | None:
        """Load the newest valid checkpoint, as `load` does; None where the run has none yet.

        check: raises CheckpointError for a checkpoint (state, summary, path) with content that cannot be used. Those,
        damaged ones on the way, and those of another run, are reported through `notify` and left alone. Raises
        CheckpointError where files exist but none is valid: starting again in silence would lose the run.
        """
        steps = self.steps()
        refused = []
        for step in reversed(steps):
            try:
                found = self.load(step, assembled=assembled)
                if check is not None:
                    check(*found)
            except CheckpointError as error:
                refused.append(step)
                notify(error.message)
                continue
            if refused:
                notify(f"continuing from step {step:,}; steps up to {max(refused):,} will be repeated")
            return found
        if steps:
            raise CheckpointError(
                f"no valid checkpoint in {self.directory}: {len(steps)} file(s), none of them usable",
                hint="restore one from a backup, or restart with `trm train --fresh`",
            )
        return None

    def prune(self) -> None:
        """Delete what need not be kept. Raises OSError where the disk fails; what is kept is not in danger then."""
        self.delete_unlisted_shards()
        keep = {*self.steps()[-self.keep :], self.best_step(), self.latest_step()}
        for step in self.steps():
            if step not in keep and step not in self.milestones:
                delete_checkpoint(self.path(step))
                _log.info("deleted %s", self.path(step))

    def point_latest(self, step: int) -> None:
        """Point `latest.pt` at a step that has a file."""
        write_pointer(self.directory / LATEST, self.path(step))

    def point_best(self, step: int) -> None:
        """Point `best.pt` at the best step of a state: a kill may have come before the link was switched."""
        if step and step != self.best_step() and self.path(step).exists():
            write_pointer(self.directory / BEST, self.path(step))

    def unlink_best(self) -> None:
        """Remove `best.pt`: what it pointed at is no longer part of the run."""
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
            delete_checkpoint(folder / path.name)  # set aside before; `replace` does not overwrite a folder
            if shard_folder(path).is_dir():  # first: shards without an index would be deleted as leftovers
                shard_folder(path).replace(folder / shard_folder(path).name)
            path.replace(folder / path.name)
        sync_directory(folder)
        sync_directory(self.directory)

    def best_step(self) -> int | None:
        """The step that `best.pt` points at."""
        return pointed_step(self.directory / BEST)

    def latest_step(self) -> int | None:
        """The step that `latest.pt` points at."""
        return pointed_step(self.directory / LATEST)

    def _delete_temporary_files(self) -> None:
        """Delete the half-written files of a process that was killed: the next checkpoint needs their space."""
        for pattern in _TEMPORARY_FILES:
            for path in self.directory.glob(pattern):
                path.unlink(missing_ok=True)
        for folder in self.directory.glob(f"{SCRATCH}*"):
            shutil.rmtree(folder)
        self.delete_unlisted_shards()

    def delete_unlisted_shards(self) -> None:
        """Delete the shards that no index lists; those of an index that cannot be read stay."""
        for folder in self.directory.glob(_SHARD_FOLDERS):
            index = folder.with_suffix(".pt")
            if STEP_FILE.match(index.name) is None:
                continue
            try:
                listed = ShardList.from_summary(read_file_summary(index), index) if index.exists() else None
            except CheckpointError:
                continue
            if listed is None:
                shutil.rmtree(folder)
                continue
            for path in set(folder.iterdir()) - {folder / path.name for path in listed.paths(index)}:
                path.unlink()
