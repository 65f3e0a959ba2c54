"""Save the checkpoints of a run when they are due, and try again where the disk fails."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch

from trm_cli.config.schema import RunConfig
from trm_cli.errors import NO_SPACE, CheckpointError, TrmError, free_space
from trm_cli.shell import command_line, quote
from trm_cli.training.checkpoint.disk_space import disk_space_warning
from trm_cli.training.checkpoint.retention import delete_oldest_spare
from trm_cli.training.checkpoint.sharded_saving import save_sharded
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.distributed.full_state import gather_state
from trm_cli.training.distributed.process_group import ProcessGroup, on_first_rank
from trm_cli.training.distributed.stop_agreement import StopAgreement
from trm_cli.training.hardware.devices import synchronise
from trm_cli.training.recording.observer import Observer
from trm_cli.training.recording.recorders import RunRecorders
from trm_cli.training.state.training_state import TrainingState


@dataclass
class CheckpointSaver:
    """Writes the checkpoints of one run, and knows which state is saved already."""

    config: RunConfig
    store: CheckpointStore
    state: TrainingState
    recorders: RunRecorders
    observer: Observer
    device: torch.device
    process_group: ProcessGroup
    #: Called before the state is saved: what of it is still under way is finished. Raises what ends the run instead.
    settle: Callable[[], None]

    def __post_init__(self) -> None:
        #: (step, evaluated_step) of the newest checkpoint: an evaluation changes what there is to save as well.
        self._saved = (self.state.step, self.state.evaluated_step)
        self._saved_at = time.monotonic()
        self._failures = 0
        #: Why the last attempt failed.
        self._problem: OSError | None = None
        #: The best step so far could not be written; the next checkpoint takes its name.
        self._best_pending = False
        #: Why `latest.pt` or `best.pt` does not name what it should; None: both do.
        self._unpointed: str | None = None

    @property
    def is_saved(self) -> bool:
        """Whether the newest checkpoint holds the present state."""
        return self._saved == (self.state.step, self.state.evaluated_step)

    @property
    def is_due(self) -> bool:
        """Whether an unplanned checkpoint is due: by wall time, or because the last one failed."""
        minutes = self.config.checkpoint_minutes
        overdue = minutes is not None and time.monotonic() - self._saved_at > 60 * minutes
        return overdue or self._failures > 0

    def save(self) -> None:
        """Write a checkpoint and delete what need not be kept. A failing disk is reported once; the run continues.

        All processes call it; the first one writes the state, or of a sharded run each its shard. Raises
        CheckpointError where the directory of the run was moved, with the place of what was saved, or deleted.
        """
        started = time.monotonic()
        self.settle()
        synchronise(self.device)
        step = self.state.step
        best_step = self.state.best_step
        best = self._best_pending or best_step == step
        self._problem = self._write(step, best=best)
        if self._problem is not None:
            self._best_pending = best
            # The run is worth more than one file: older checkpoints are kept, and every step retries.
            if self._failures == 0:
                reason = self._problem.strerror or self._problem
                self.observer.note(f"could not save step {step:,} ({reason}); retrying after every step")
            self._failures += 1
            return
        if self._failures:
            self.observer.note(f"saved step {step:,} after {self._failures:,} failed attempts")
        if best and best_step != step:
            self.observer.note(f"best.pt is step {step:,}: the best step, {best_step:,}, could not be saved")
        self._failures, self._best_pending = 0, False
        self._saved = (step, self.state.evaluated_step)
        self._saved_at = time.monotonic()
        self.observer.saved(step, self.store.path(step), self._saved_at - started)
        self._require_in_place()
        if self.process_group.first:
            self._prune()

    def _write(self, step: int, *, best: bool) -> OSError | None:
        """Write a checkpoint, together with the other processes; returns the error where that failed."""
        while True:
            try:
                problem = self._write_once(step, best=best)
            except OSError as error:
                if error.errno in NO_SPACE and self._made_room(step):
                    continue
                return error
            if problem is not None and self._unpointed is None:
                self.observer.note(f"step {step:,} is saved, but {problem}; older checkpoints stay until it is")
            self._unpointed = problem
            return None

    def _write_once(self, step: int, *, best: bool) -> str | None:
        """Write it; returns why it was saved but not pointed at. Raises OSError."""
        summary, state = self.recorders.summary, self._state_dict()
        if self.state.sharded:
            return save_sharded(
                self.store, step, state, summary, best=best, process_group=self.process_group, sync=self._begin
            )
        full = gather_state(state, self.process_group)

        def write() -> str | None:
            self._begin()
            return self.store.save(step, full, summary, best=best)

        problem: str | None = on_first_rank(write, self.process_group)
        return problem

    def _begin(self) -> None:
        """What comes first of all: a checkpoint must never be newer than the metrics that belong to it."""
        moved = self.store.moved_from() is not None
        if moved and self.state.sharded:
            self._require_in_place()  # the other processes write to where it was
        if not moved:
            self.recorders.recover(self.observer.note)
        self.recorders.sync()

    def _made_room(self, step: int) -> bool:
        """Whether an older checkpoint could be deleted from a full disk."""

        def delete() -> int | None:
            with suppress(OSError):
                return delete_oldest_spare(self.store, (self.state.best_step,))
            return None

        deleted: int | None = on_first_rank(delete, self.process_group)
        if deleted is not None:
            self.observer.note(f"disk full: deleted the checkpoint of step {deleted:,} to make room for step {step:,}")
        return deleted is not None

    def _require_in_place(self) -> None:
        """Raise CheckpointError, which says where the saved state is, if the directory was moved or deleted."""
        before = self.store.moved_from()
        if before is None:
            return
        steps = self.store.steps()
        saved = f"step {steps[-1]:,} is saved there" if steps else "nothing was saved yet"
        raise CheckpointError(
            f"{before} was moved to {self.store.directory} while it was being trained; {saved}, and the run ends here",
            hint=f"trm resume {quote(self.store.directory)}"
            if steps
            else "the command that started it starts it again",
        )

    def _prune(self) -> None:
        """Delete old checkpoints, unless a pointer may still need one of them."""
        if self._unpointed is not None:
            return
        try:
            self.store.point_best(self.state.best_step)  # if an earlier switch has failed
            self.store.prune()
        except OSError as error:
            self.observer.note(f"could not delete an old checkpoint ({error.strerror or error})")

    def save_wanted(self, stop: StopAgreement) -> None:
        """Save a checkpoint on request (SIGUSR1)."""
        stop.save_wanted = False
        if self.is_saved:
            self.observer.note(f"step {self.state.step:,} is saved already")
        else:
            self.save()

    def save_last(self) -> None:
        """Save the last state of a run, unless it is saved. Raises TrmError when that fails: no retry follows."""
        if not self.is_saved:
            self.save()
        if not self.is_saved:
            problem, again = self._problem or OSError(), command_line("trm", "resume", self.store.directory)
            raise TrmError(
                f"could not save the last checkpoint, of step {self.state.step:,}: {problem.strerror or problem}",
                hint=f"{free_space(problem)}mend the disk; `{again}` continues after step {self._saved[0]:,}",
            )
        self._require_in_place()
        self.recorders.recover(self.observer.note)

    def check_disk_space(self) -> None:
        """Warn where the disk will not hold what the run keeps; called when the state is first complete."""
        if not self.process_group.first:
            return
        with suppress(OSError):  # where the directory is gone, the next save tells
            # What is kept, the best one, and the one that is being written before an old one goes.
            warning = disk_space_warning(self.store.directory, self._state_dict(), files=self.store.keep + 2)
            if warning is not None:
                self.observer.note(warning)

    def _state_dict(self) -> dict[str, Any]:
        return self.state.state_dict(with_carry=self.config.save_carry)
