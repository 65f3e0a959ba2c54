"""Save the checkpoints of a run when they are due, and try again where the disk fails."""

from __future__ import annotations

import time
from typing import Any

import torch

from trm_cli.errors import TrmError
from trm_cli.training.checkpoint.disk_space import disk_space_warning
from trm_cli.training.checkpoint.sharded_saving import save_sharded
from trm_cli.training.checkpoint.store import CheckpointStore
from trm_cli.training.distributed.full_state import gather_state
from trm_cli.training.distributed.process_group import ProcessGroup, on_first_rank
from trm_cli.training.distributed.stop_agreement import StopAgreement
from trm_cli.training.hardware.devices import synchronise
from trm_cli.training.recording.observer import Observer
from trm_cli.training.recording.recorders import RunRecorders
from trm_cli.training.state import TrainingState


class CheckpointSaver:
    """Writes the checkpoints of one run, and knows which state is saved already.

    seconds: save at least this often by wall time; None: never by wall time.
    """

    def __init__(
        self,
        *,
        store: CheckpointStore,
        state: TrainingState,
        recorders: RunRecorders,
        observer: Observer,
        device: torch.device,
        with_carry: bool,
        seconds: float | None,
        process_group: ProcessGroup,
    ) -> None:
        self.store = store
        self.state = state
        self.recorders = recorders
        self.observer = observer
        self.device = device
        self.with_carry = with_carry
        self.seconds = seconds
        self.process_group = process_group
        #: (step, evaluated_step) of the newest checkpoint: an evaluation changes what there is to save as well.
        self._saved = (state.step, state.evaluated_step)
        self._saved_at = time.monotonic()
        self._failures = 0
        #: The best step so far could not be written; the next checkpoint takes its name.
        self._best_pending = False

    @property
    def is_saved(self) -> bool:
        """Whether the newest checkpoint holds the present state."""
        return self._saved == (self.state.step, self.state.evaluated_step)

    @property
    def is_due(self) -> bool:
        """Whether an unplanned checkpoint is due: by wall time, or because the last one failed."""
        overdue = self.seconds is not None and time.monotonic() - self._saved_at > self.seconds
        return overdue or self._failures > 0

    def save(self) -> None:
        """Write a checkpoint and delete what need not be kept. A failing disk is reported once; the run continues.

        All processes call it; the first one writes the state, or of a sharded run each its shard.
        """
        started = time.monotonic()
        synchronise(self.device)
        step = self.state.step
        best_step = self.state.best_step
        best = self._best_pending or best_step == step
        problem = self._write(step, best=best)
        if problem is not None:
            self._best_pending = best
            # The run is worth more than one file: older checkpoints are kept, and every step retries.
            if self._failures == 0:
                self.observer.note(f"could not save step {step:,} ({problem}); retrying after every step")
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
        if self.process_group.first:
            self._prune()

    def _write(self, step: int, *, best: bool) -> str | None:
        """Write a checkpoint, together with the other processes; returns the reason where that failed."""
        summary, state = self.recorders.summary, self._state_dict()
        # First of all: a checkpoint must never be newer than the metrics that belong to it.
        sync = self.recorders.metrics.sync
        try:
            if self.state.sharded:
                save_sharded(self.store, step, state, summary, best=best, process_group=self.process_group, sync=sync)
            else:
                full = gather_state(state, self.process_group)
                on_first_rank(lambda: (sync(), self.store.save(step, full, summary, best=best)), self.process_group)
        except OSError as error:
            return str(error.strerror or error)
        return None

    def _prune(self) -> None:
        try:
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
        if self.is_saved:
            return
        self.save()
        if not self.is_saved:
            raise TrmError(
                f"could not save the last checkpoint, of step {self.state.step:,}",
                hint=f"free some disk space; `trm resume` then continues after step {self._saved[0]:,}",
            )

    def check_disk_space(self) -> None:
        """Warn where the disk will not hold what the run keeps; called when the state is first complete."""
        if not self.process_group.first:
            return
        # What is kept, the best one, and the one that is being written before an old one goes.
        warning = disk_space_warning(self.store.directory, self._state_dict(), files=self.store.keep + 2)
        if warning is not None:
            self.observer.note(warning)

    def _state_dict(self) -> dict[str, Any]:
        return self.state.state_dict(with_carry=self.with_carry)
